# Capture through crashes, prepared transactions, load, dump and restore, pg_upgrade; and put on while writers are there. The oracle is
# always: the log of signed rows of a consumer adds up to the source.
use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('capture');
$node->init(extra => [ '--locale=C.UTF-8', '-E', 'UTF8' ]);
$node->append_conf('postgresql.conf', "restart_after_crash = on\nfsync = off\nmax_prepared_transactions = 10");
$node->start;

my $setup = <<'SQL';
CREATE TABLE src (id int, v text);
CREATE TABLE log (consumer text, id int, v text, sign int);
INSERT INTO src SELECT i, 'v' || i FROM generate_series(1, 100) AS i;
CREATE FUNCTION take(relation oid, consumer text, full_sql text, delta_sql text, columns int[]) RETURNS text
    LANGUAGE c AS '$libdir/pg_strata', 'strata_capture_take';
CREATE FUNCTION t(consumer text DEFAULT 'm1') RETURNS text LANGUAGE sql AS $$
    SELECT public.take('public.src'::regclass, consumer,
        format('WITH d AS (DELETE FROM public.log WHERE consumer = %L) INSERT INTO public.log SELECT %1$L, id, v, 1 FROM public.src', consumer),
        format('INSERT INTO public.log SELECT %L, id, v, strata_sign FROM changes', consumer), '{1,2}') $$;
SQL
my $wrong = q(SELECT count(*) FROM (SELECT id, v FROM (SELECT id, v, sign FROM log WHERE consumer = 'm1' UNION ALL SELECT id, v, -1 FROM src) AS u
    GROUP BY id, v HAVING sum(sign) <> 0) AS d);

sub q1 { return $node->safe_psql('postgres', $_[0]); }

# ---- put on while somebody writes ----
q1("CREATE EXTENSION pg_strata; $setup");
my $writer = $node->background_psql('postgres');
$writer->query_safe("BEGIN; INSERT INTO src VALUES (0, 'open')");
is(q1("SET strata.capture_lock_timeout = '20ms'; SELECT strata.capture('public.src')"), 'wanted', 'a writer that does not end keeps it waiting, so long and no longer');
like(q1('SELECT t()'), qr/^full: /, 'a refresh goes on meanwhile');
$writer->query_safe("INSERT INTO src VALUES (-1, 'open'); COMMIT");
like(q1('SELECT t()'), qr/^full: /, 'the end of a refresh puts it on');
q1("INSERT INTO src VALUES (-2, 'then')");
like(q1('SELECT t()'), qr/^full: /, 'from the next one there is a position');
q1("INSERT INTO src VALUES (-3, 'then')");
is(q1('SELECT t()'), '1 captured, 1 changes', 'and changes after it');
is(q1($wrong), '0', 'nothing was missed in between');

# ---- crashes ----
for my $how ('kill', 'immediate')
{
	q1("INSERT INTO src VALUES (1000, 'committed $how')");
	$writer->query_safe("BEGIN; INSERT INTO src SELECT i, 'lost' FROM generate_series(1, 5000) AS i; DELETE FROM src WHERE id < 10");
	my $refresher = $node->background_psql('postgres');
	$refresher->query_safe("BEGIN; SELECT t(); INSERT INTO src VALUES (1001, 'lost too'); SELECT t()");
	my $pid = $writer->query_safe('SELECT pg_backend_pid()');
	if ($how eq 'kill') { kill 'KILL', $pid }
	else { $node->stop('immediate') }
	eval { $_->{run}->finish } for $writer, $refresher;
	if ($how eq 'kill') { came_back() or die 'the server did not come back' }
	else { $node->start }
	is(q1('SELECT t()'), '1 captured, 1 changes', "$how: what was committed is there, and nothing else");
	is(q1($wrong), '0', "$how: and adds up");
	$writer = $node->background_psql('postgres');
}
$writer->quit;

# ---- prepared, through a restart ----
q1("BEGIN; INSERT INTO src VALUES (2000, 'prepared'); PREPARE TRANSACTION 'one'");
q1("BEGIN; INSERT INTO src VALUES (2001, 'prepared'); SELECT t(); INSERT INTO src VALUES (2002, 'after its refresh'); PREPARE TRANSACTION 'two'");
$node->restart;
q1("COMMIT PREPARED 'two'; INSERT INTO src VALUES (2003, 'later')");
is(q1('SELECT t()'), '2 captured, 2 changes', 'a refresh that was prepared with its transaction');
q1("COMMIT PREPARED 'one'");
is(q1('SELECT t()'), '1 captured, 1 changes', 'a transaction that was prepared long before');
is(q1($wrong), '0', 'adds up');

# ---- load: writers with savepoints and rollbacks, refreshes of two consumers in turns, a ring that turns all the time ----
my $script = PostgreSQL::Test::Utils::tempdir() . '/load';
append_to_file($script, <<'SQL');
\set id random(1, 200)
\set other random(1, 200)
BEGIN;
INSERT INTO src VALUES (:id, 'load');
SAVEPOINT a;
UPDATE src SET v = v || '.' WHERE id = :other AND v = 'load';
\if :id > 150
ROLLBACK TO a;
\endif
DELETE FROM src WHERE id = :other AND v = 'load..';
\if :id < 20
ROLLBACK;
\else
COMMIT;
\endif
SQL
my ($out, $err) = ('', '');
my $load = IPC::Run::start([ 'pgbench', '-n', '-c', '6', '-j', '2', '-t', '150', '-f', $script, $node->connstr('postgres') ], '>', \$out, '2>', \$err);
my ($refreshes, $full) = (0, 0);
while ($load->pumpable)
{
	$load->pump_nb;
	for my $consumer ('m1', 'm2')
	{
		$full++ if q1("SET strata.capture_segment_size = '8kB'; SELECT t('$consumer')") =~ /^full/;
	}
	$refreshes++;
}
$load->finish;
like($out, qr/number of transactions actually processed: 900\/900/, 'no writer failed') or diag($err);
cmp_ok($refreshes, '>', 2, 'refreshes ran meanwhile');
is($full, 1, 'in full only at the first time');
q1("SELECT t(), t('m2')");
is(q1($wrong), '0', 'one consumer has it all, once');
is(q1($wrong =~ s/m1/m2/r), '0', 'and so has the other');
is(q1(q(SELECT count(*) FROM strata_state.capture_segment WHERE state = 'current')), '1', 'the ring is in order');

# ---- the same with rows of which few fit a page, a consumer that comes seldom, another transaction that is open for long, and crashes between ----
append_to_file("$script.wide", <<'SQL');
\set id random(1, 200)
BEGIN;
INSERT INTO src VALUES (:id, repeat('w', 1000 + :id));
SAVEPOINT a;
DELETE FROM src WHERE id = :id AND v LIKE 'www%';
\if :id > 100
ROLLBACK TO a;
\endif
\if :id < 20
ROLLBACK;
\else
COMMIT;
\endif
SQL
q1("SELECT t(), t('m2'); SELECT t(), t('m2')");
my $late = 0;
for my $how ('kill', 'immediate', '')
{
	my $long = $node->background_psql('postgres');
	$load = IPC::Run::start([ 'pgbench', '-n', '-c', '6', '-j', '2', '-t', '200', '-f', "$script.wide", $node->connstr('postgres') ], '>', \$out, '2>', \$err);
	($refreshes, $full) = (0, 0);
	while ($load->pumpable)
	{
		$load->pump_nb;
		if ($refreshes % 4 == 0) { $late++; $long->query_safe("BEGIN; INSERT INTO src VALUES (-$late, 'late')") }
		$full++ if q1(q(SELECT t())) =~ /^full/;
		if ($refreshes % 4 == 3) { $long->query_safe($refreshes % 8 == 3 ? "PREPARE TRANSACTION 'late'" : 'COMMIT'); q1("SELECT t(); COMMIT PREPARED 'late'") if $refreshes % 8 == 3 }
		$refreshes++;
	}
	$load->finish;
	$long->query_safe('ROLLBACK') if $refreshes % 4;
	is($full, 0, "long transactions, $how: never in full");
	if ($how eq 'kill')
	{
		my $pid = $long->query_safe("BEGIN; INSERT INTO src VALUES (0, 'lost'); SELECT pg_backend_pid()");
		kill 'KILL', $pid;
		eval { $long->{run}->finish };
		came_back() or die 'the server did not come back';
	}
	elsif ($how) { $long->query_safe("BEGIN; INSERT INTO src VALUES (0, 'lost')"); $node->stop('immediate'); eval { $long->{run}->finish }; $node->start }
	else { $long->quit }
	cmp_ok(q1(q(SELECT count(*) FROM strata_state.capture_consumer WHERE consumer = 'm1' AND starts IS NOT NULL)), '>', 0, 'it knows where its changes begin') if !$how;
	q1('SELECT t()');
	is(q1($wrong), '0', 'who comes often has it all, once');
}
q1("SELECT t('m2')");
is(q1($wrong =~ s/m1/m2/r), '0', 'and so has who comes seldom');

# ---- dump and restore ----
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
unlike(slurp_file($dump), qr/strata_state\.(?:c\d+_\d|capture )/, 'leaves out what was recorded');
q1('CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-q', '-f', $dump, $node->connstr('restored') ], 'restores');
sub q2 { return $node->safe_psql('restored', $_[0]); }
q2("INSERT INTO src VALUES (5000, 'restored')");
is(q2('SELECT count(*) FROM strata.captures'), '0', 'restored triggers record nothing');
like(q2('SELECT t()'), qr/^full: /, 'a full refresh');
q2("INSERT INTO src VALUES (5001, 'restored')");
like(q2('SELECT t()'), qr/^(?:full: |1 captured)/, 'and it is on again');
q2('SELECT t()');
q2("INSERT INTO src VALUES (5002, 'restored')");
is(q2('SELECT t()'), '1 captured, 1 changes', 'with a position');
is(q2($wrong), '0', 'adds up');
q2('DROP EXTENSION pg_strata');
is(q2(q(SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'strata%')), '0', 'with the extension go its triggers');
q2("INSERT INTO src VALUES (5003, 'free')");

# ---- pg_upgrade ----
q1("DROP DATABASE restored; INSERT INTO src VALUES (6000, 'before the upgrade')");
my $new = PostgreSQL::Test::Cluster->new('upgraded');
$new->init(extra => [ '--locale=C.UTF-8', '-E', 'UTF8' ]);
$new->append_conf('postgresql.conf', 'fsync = off');
$node->stop;
chdir PostgreSQL::Test::Utils::tempdir();
my $bindir = $node->config_data('--bindir');
command_ok(
	[
		'pg_upgrade', '--no-sync', '-d', $node->data_dir, '-D', $new->data_dir, '-b', $bindir, '-B', $bindir,
		'-s', $new->host, '-p', $node->port, '-P', $new->port
	],
	'pg_upgrade');
$new->start;
sub q3 { return $new->safe_psql('postgres', $_[0]); }
q3("INSERT INTO src VALUES (6001, 'after the upgrade')");
is(q3('SELECT t()'), '2 captured, 2 changes', 'positions still hold');
is(q3($wrong), '0', 'and it adds up');
q3("ALTER TABLE src DISABLE TRIGGER strata_capture_insert; INSERT INTO src VALUES (6002, 'x'); ALTER TABLE src ENABLE ALWAYS TRIGGER strata_capture_insert");
like(q3('SELECT t()'), qr/^full: /, 'bypasses are noticed as before');
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
