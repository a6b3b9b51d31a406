# Models kept by changes, under load: 8 writers that hold their transactions open while refreshes run, killed processes and stopped servers
# in the middle of it, restart, dump and restore. The oracle: each target is what its query gives, under the very snapshot of the refresh.
# STRATA_CRASHES: how many crashes (4), STRATA_SEED: of what is random.
use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $crashes = $ENV{STRATA_CRASHES} // 4;
my $seed = $ENV{STRATA_SEED} // int(rand(1_000_000_000));
srand($seed);
note("STRATA_SEED=$seed");

my $node = PostgreSQL::Test::Cluster->new('incremental');
$node->init(extra => [ '--locale=C.UTF-8', '-E', 'UTF8' ]);
# a small ring, so that it turns all the time
$node->append_conf('postgresql.conf',
	"restart_after_crash = on\nfsync = off\nmax_wal_size = 1GB\ndeadlock_timeout = 100ms\nstrata.capture_segment_size = 16\nstrata.incremental_full_cost = 0");
$node->start;
sub q1 { return $node->safe_psql('postgres', $_[0]); }

q1(<<'SQL');
CREATE EXTENSION pg_strata;
CREATE SCHEMA w;
CREATE TABLE w.fact (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, g integer, v numeric(12,2), day date, writer integer);
CREATE TABLE w.dim (g integer, name text, writer integer);
CREATE TABLE w.parted (id bigint, g integer, v integer, writer integer) PARTITION BY LIST (g);
CREATE TABLE w.parted_0 PARTITION OF w.parted FOR VALUES IN (0, 1, 2);
CREATE TABLE w.parted_1 PARTITION OF w.parted DEFAULT;
CREATE INDEX ON w.fact (writer);
INSERT INTO w.fact (g, v, day, writer) SELECT i % 7, i, '2026-01-01'::date + i % 30, i % 8 FROM generate_series(1, 2000) AS i;
INSERT INTO w.dim SELECT i % 7, 'n' || i, i % 8 FROM generate_series(1, 20) AS i;
INSERT INTO w.parted SELECT i, i % 6, i, i % 8 FROM generate_series(1, 500) AS i;
SELECT strata.define_mart('w.sums', 'SELECT g, day, count(*) AS n, sum(v) AS v, max(v) AS most FROM w.fact GROUP BY g, day', refresh => 'incremental');
SELECT strata.define_mart('w.joined', 'SELECT f.id, d.name, f.v FROM w.fact f LEFT JOIN w.dim d ON d.g = f.g AND d.writer = f.writer', refresh => 'incremental');
SELECT strata.define_mart('w.ranks', 'SELECT g, id, v, rank() OVER (PARTITION BY g ORDER BY v, id) AS r FROM w.parted', refresh => 'incremental');
SELECT strata.define_mart('w.top', 'SELECT s.g, sum(s.v) AS v, (SELECT count(*) FROM w.ranks AS r WHERE r.g = s.g) AS ranked FROM w.sums s GROUP BY s.g', refresh => 'incremental');
SQL
q1("SELECT count(*) FROM strata.refresh('schema:w')");

# each writer changes rows of its own, so that they never wait for each other: what deadlocks is ours
my $dir = PostgreSQL::Test::Utils::tempdir();
append_to_file("$dir/writer", <<'SQL');
\set n random(1, 100)
\set g random(0, 6)
\set ms random(0, 50)
BEGIN;
INSERT INTO w.fact (g, v, day, writer) VALUES (:g, :n, '2026-01-01'::date + :n % 30, :client_id), (:g, :n, '2026-01-02', :client_id);
\sleep :ms ms
\if :n > 30
UPDATE w.fact SET v = v + 1, g = :g WHERE id IN (SELECT id FROM w.fact WHERE writer = :client_id ORDER BY id LIMIT 3);
\endif
SAVEPOINT a;
INSERT INTO w.parted VALUES (:n, :g, :n, :client_id);
UPDATE w.parted SET g = (g + 1) % 6 WHERE writer = :client_id AND id = :n;
\if :n % 4 = 0
ROLLBACK TO a;
\endif
\if :n % 5 = 0
UPDATE w.dim SET name = name || '.', g = :g WHERE writer = :client_id AND g = (:g + 1) % 7;
DELETE FROM w.fact WHERE id IN (SELECT id FROM w.fact WHERE writer = :client_id ORDER BY id DESC LIMIT 4);
\endif
\if :n % 10 = 1
ROLLBACK;
\else
COMMIT;
\endif
SQL
append_to_file("$dir/refresh", "SELECT count(*) FROM strata.refresh('w.sums w.top');\n\\sleep 50 ms\n");

# refreshed and compared under one snapshot
sub wrong_under_one_snapshot
{
	return q1(<<'SQL');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT 'failed' FROM strata.refresh('schema:w') WHERE status NOT IN ('succeeded', 'unchanged');
SELECT model, status, missing, unexpected FROM strata.verify('schema:w') WHERE status <> 'equal';
COMMIT;
SQL
}

sub start_load
{
	my ($transactions) = @_;
	my ($out, $err) = ('', '');
	my $load = IPC::Run::start([ 'pgbench', '-n', '-c', '8', '-j', '2', '-t', $transactions, '-f', "$dir/writer", $node->connstr('postgres') ], '>', \$out, '2>', \$err);
	return [ $load, \$out, \$err ];
}

# ---- nothing is lost, nothing doubled ----
{
	my $transactions = 60;
	my ($load, $out, $err) = @{ start_load($transactions) };
	my @other = ('', '');
	my ($refreshes, $wrong) = (0, '');
	while ($load->pumpable)
	{
		$load->pump_nb;
		# in turns: to be compared at once, and as anybody would
		if ($refreshes++ % 2) { $wrong .= wrong_under_one_snapshot() }
		else { q1("SELECT count(*) FROM strata.refresh('schema:w')") }
	}
	$load->finish;
	like($$out, qr/number of transactions actually processed: (\d+)\/\1/, 'no writer failed') or diag($$err);
	cmp_ok($refreshes, '>', 3, 'refreshes ran meanwhile');
	note("$refreshes refreshes");
	is($wrong, '', 'each target was what its query gave under the snapshot of the refresh');
	is(q1("SELECT string_agg(DISTINCT method, ',') FROM strata.steps WHERE method NOT LIKE 'incremental%' AND run > 1"), '', 'none was in full');
	q1("SELECT count(*) FROM strata.refresh('schema:w')");
	is(q1("SELECT count(*) FROM strata.verify('schema:w') WHERE status = 'equal'"), '4', 'at the end as well');
	is(q1("SELECT string_agg(DISTINCT action, ',') FROM strata.refresh('schema:w')"), 'nothing', 'and then there is nothing to do');
}

# ---- two that refresh at once, with the writers ----
{
	my ($load, $out, $err) = @{ start_load(40) };
	my ($said, $failed) = ('', '');
	my $other = IPC::Run::start([ 'pgbench', '-n', '-c', '2', '-j', '1', '-t', '12', '-f', "$dir/refresh", $node->connstr('postgres') ], '>', \$said, '2>', \$failed);
	q1("SELECT count(*) FROM strata.refresh('schema:w')") for 1 .. 5;
	$_->finish for $load, $other;
	like($$out, qr/number of transactions actually processed: (\d+)\/\1/, 'two that refresh: no writer failed') or diag($$err);
	like($said, qr/number of transactions actually processed: (\d+)\/\1/, 'and neither of them') or diag($failed);
	is(wrong_under_one_snapshot(), '', 'and all is right');
}

# ---- crashes ----
my %how = (kill => 0, immediate => 0);
for my $n (1 .. $crashes)
{
	my ($load) = @{ start_load(1000) };
	my ($said, $failed) = ('', '');
	my $refresher = IPC::Run::start([ 'pgbench', '-n', '-c', '1', '-t', '1000', '-f', "$dir/refresh", $node->connstr('postgres') ], '>', \$said, '2>', \$failed);
	# at a random moment, that is what is tested
	select(undef, undef, undef, 0.1 + rand(0.6));
	my $how = $n % 2 ? 'kill' : 'immediate';
	if ($how eq 'kill')
	{
		# any of them, the one that refreshes as often as not
		my $pid = q1("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
			  . " ORDER BY (query LIKE '%strata.refresh%') = " . (rand() < 0.5 ? 'true' : 'false') . ', random() LIMIT 1');
		kill 'KILL', $pid or die 'there was no process to kill';
	}
	else { $node->stop('immediate') }
	eval { $_->finish } for $load, $refresher;
	$node->start if $how eq 'immediate';
	came_back() or die 'the server did not come back';
	my $wrong = wrong_under_one_snapshot();
	q1("SELECT count(*) FROM strata.refresh('schema:w')");
	$wrong .= q1("SELECT model, status FROM strata.verify('schema:w') WHERE status <> 'equal'");
	$how{$how}++ if $wrong eq '';
	is($wrong, '', "crash $n, $how") if $wrong ne '';
}
is($how{kill} + $how{immediate}, $crashes, "$crashes crashes: each time all was right again after one refresh");
is(q1("SELECT string_agg(DISTINCT method, ',') FROM strata.steps WHERE method NOT LIKE 'incremental%' AND run > 1"), '', 'which was by changes');

# ---- restart ----
$node->restart;
q1('INSERT INTO w.fact (g, v, day, writer) VALUES (1, 1, current_date, 1); DELETE FROM w.dim WHERE writer = 3');
is(wrong_under_one_snapshot(), '', 'restart: right');
is(q1("SELECT string_agg(DISTINCT substr(method, 1, 11), ',') FROM strata.steps WHERE run = (SELECT max(run) FROM strata.runs WHERE kind = 'refresh')"), 'incremental', 'restart: by changes');
unlike(slurp_file($node->logfile), qr/deadlock detected/, 'nobody ever met in a deadlock');

# ---- dump and restore into another cluster: positions mean nothing there ----
q1('INSERT INTO w.fact (g, v, day, writer) VALUES (2, 2, current_date, 2)');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/dump", $node->connstr('postgres') ], 'pg_dump');
my $other = PostgreSQL::Test::Cluster->new('elsewhere');
$other->init(extra => [ '--locale=C.UTF-8', '-E', 'UTF8' ]);
$other->append_conf('postgresql.conf', 'fsync = off');
$other->start;
# its transactions have other numbers
$other->safe_psql('postgres', 'CREATE TABLE t (); SELECT txid_current() FROM generate_series(1, 10)');
$other->safe_psql('postgres', 'CREATE DATABASE house');
$other->command_ok([ 'pg_restore', '-e', '-d', $other->connstr('house'), "$dir/dump" ], 'pg_restore');
sub q2 { return $other->safe_psql('house', $_[0]); }
my $methods = q(SELECT string_agg(coalesce(method, action), E'\n' ORDER BY model) FROM strata.steps WHERE run = (SELECT max(run) FROM strata.runs WHERE kind = 'refresh'));
my @took;
for my $n (1 .. 4)
{
	q2("INSERT INTO w.fact (g, v, day, writer) VALUES (3, $n, current_date, 2); INSERT INTO w.parted VALUES ($n, 1, 1, 1); UPDATE w.dim SET name = name || '!' WHERE writer = 2");
	q2("SELECT count(*) FROM strata.refresh('schema:w')");
	is(q2("SELECT count(*) FROM strata.verify('schema:w') WHERE status = 'equal'"), '4', "restored, refresh $n: right");
	push @took, q2($methods);
}
note($_) for @took;
unlike($took[0], qr/incremental/, 'restored: what was kept for changes is not trusted');
unlike($took[$_], qr/full/, 'restored, refresh ' . ($_ + 1) . ': by changes again') for 2, 3;
$other->stop;

# ---- pg_upgrade: what was kept, and the positions, hold as before ----
my $new = PostgreSQL::Test::Cluster->new('upgraded');
$new->init(extra => [ '--locale=C.UTF-8', '-E', 'UTF8' ]);
$new->append_conf('postgresql.conf', 'fsync = off');
$node->stop;
chdir $dir;
my $bindir = $node->config_data('--bindir');
command_ok([ 'pg_upgrade', '--no-sync', '-d', $node->data_dir, '-D', $new->data_dir, '-b', $bindir, '-B', $bindir, '-s', $new->host, '-p', $node->port, '-P', $new->port ],
	'pg_upgrade');
$new->start;
sub q3 { return $new->safe_psql('postgres', $_[0]); }
q3("INSERT INTO w.fact (g, v, day, writer) VALUES (4, 5, current_date, 2); INSERT INTO w.parted VALUES (7, 1, 1, 1); DELETE FROM w.dim WHERE writer = 2");
q3("SET strata.incremental_rule = algebra; SELECT count(*) FROM strata.refresh('schema:w')");
is(q3("SELECT count(*) FROM strata.verify('schema:w') WHERE status = 'equal'"), '4', 'upgraded: right');
unlike(q3($methods), qr/full/, 'upgraded: by changes');
$new->stop;
done_testing();

# A psql that is turned away before it has read its statement is a broken pipe to who writes it: asked again.
sub came_back
{
	for (1 .. 50)
	{
		my $is = eval { $node->poll_query_until('postgres', 'SELECT true') };
		return $is if defined $is;
	}
	return 0;
}
