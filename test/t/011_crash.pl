# A server process killed in the middle of a refresh, and a server stopped the hard way: nothing is half done, and the next
# refresh does it all. The refresh is held at a wait point: a function of the model waits for an advisory lock.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', "restart_after_crash = on\nfsync = off");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_strata;
CREATE SCHEMA w;
CREATE TABLE w.source (id integer PRIMARY KEY, v text);
INSERT INTO w.source SELECT i, 'v' || i FROM generate_series(1, 500) AS i;
CREATE FUNCTION w.pause() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(4714); RETURN 1; END $$;
SELECT strata.define_dimension('w.dim', 'SELECT id, v FROM w.source', key => '{id}', history => '{v}');
SELECT strata.define_mart('w.bag', 'SELECT v FROM w.dim');
SELECT strata.define_mart('w.gate', 'SELECT count(*) AS n, w.pause() AS p FROM w.bag', refresh => 'full');
SELECT strata.define_check('w.bag', 'row_count', options => '{"min": 1}');
SELECT count(*) FROM strata.refresh(as_of => '2026-01-01');
UPDATE w.source SET v = v || '!' WHERE id <= 400;
INSERT INTO w.source SELECT i, 'v' || i FROM generate_series(501, 600) AS i;
SQL
my $state = q(SELECT (SELECT md5(string_agg(d::text, ',' ORDER BY dim_key)) FROM w.dim d), (SELECT md5(string_agg(v, ',' ORDER BY v)) FROM w.bag),
    (SELECT n FROM w.gate), (SELECT count(*) FROM strata.runs), (SELECT count(*) FROM strata.steps), (SELECT count(*) FROM strata.check_results),
    (SELECT string_agg(state || refreshed_at, ',' ORDER BY id) FROM strata.models),
    (SELECT string_agg(c.relname, ',' ORDER BY c.oid) FROM pg_class c WHERE relnamespace IN ('w'::regnamespace, 'strata_state'::regnamespace)));
my $before = $node->safe_psql('postgres', $state);

sub start_refresh
{
	my ($how) = @_;
	my $gate = $node->background_psql('postgres');
	$gate->query_safe('SELECT pg_advisory_lock(4714)');
	my $refresh = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $refresh->query_safe('SELECT pg_backend_pid()');
	$refresh->query_until(qr//, "SELECT count(*) FROM strata.refresh(as_of => '2026-01-02', full_rebuild => $how);\n");
	$node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid") or die 'the refresh never waited';
	return ($gate, $refresh, $pid);
}

for my $how ('false', 'true')
{
	my ($gate, $refresh, $pid) = start_refresh($how);
	is($node->safe_psql('postgres', $state), $before, "full_rebuild $how: nothing of it is seen while it runs") if $how eq 'false';
	kill 'KILL', $pid;
	eval { $refresh->{run}->finish };
	eval { $gate->{run}->finish };
	came_back() or die 'the server did not come back';
	is($node->safe_psql('postgres', $state), $before, "full_rebuild $how: a killed process leaves everything as it was");

	($gate, $refresh, $pid) = start_refresh($how);
	$node->stop('immediate');
	eval { $refresh->{run}->finish };
	eval { $gate->{run}->finish };
	$node->start;
	is($node->safe_psql('postgres', $state), $before, "full_rebuild $how: so does a stopped server");
}

# cancelled: by statement_timeout, and by another session
{
	my ($gate, $refresh, $pid) = start_refresh('false');
	$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
	$node->poll_query_until('postgres', "SELECT state <> 'active' FROM pg_stat_activity WHERE pid = $pid") or die 'the refresh did not stop';
	is($node->safe_psql('postgres', $state), $before, 'cancelled: everything is as it was');
	my ($code, $out, $err) = $node->psql('postgres', "SET statement_timeout = '300ms'; SELECT count(*) FROM strata.refresh(as_of => '2026-01-02')");
	like($err, qr/canceling statement due to statement timeout/, 'statement_timeout ends it');
	($code, $out, $err) = $node->psql('postgres', "SET statement_timeout = '300ms'; SELECT count(*) FROM strata.refresh(as_of => '2026-01-02', on_error => 'record')");
	like($err, qr/canceling statement due to statement timeout/, 'and is no failure to record');
	is($node->safe_psql('postgres', $state), $before, 'timed out: everything is as it was');
	eval { $refresh->quit };
	eval { $gate->quit };
}

is($node->safe_psql('postgres', q(SELECT string_agg(status, ',') FROM strata.refresh(as_of => '2026-01-02'))), 'succeeded,succeeded,succeeded', 'then it is done');
is($node->safe_psql('postgres', q(SELECT count(*) FROM (SELECT v FROM w.dim EXCEPT ALL SELECT v FROM w.bag) AS d)), '0', 'and is right');
is($node->safe_psql('postgres', q(SELECT count(*), count(*) FILTER (WHERE is_current), count(DISTINCT id) FROM w.dim)), '1001|601|600', 'once: nothing doubled');
$node->restart;
is($node->safe_psql('postgres', q(SELECT count(*), count(*) FILTER (WHERE is_current), count(DISTINCT id) FROM w.dim)), '1001|601|600', 'and lasting');
$node->stop;
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
