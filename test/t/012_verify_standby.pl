# verify reads only: on a hot standby it compares as on the primary, and leaves no record.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
# a transaction of autovacuum that is open during the refresh would forbid the fence
$primary->append_conf('postgresql.conf', "autovacuum = off\nfsync = off");
$primary->start;
$primary->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_strata;
CREATE SCHEMA w;
CREATE TABLE w.source (id integer PRIMARY KEY, v text);
INSERT INTO w.source SELECT i, 'v' || i FROM generate_series(1, 500) AS i;
SELECT strata.define_dimension('w.dim', 'SELECT id, v FROM w.source', key => '{id}', history => '{v}');
SELECT strata.define_mart('w.bag', 'SELECT v FROM w.source');
SELECT strata.define_mart('w.count', 'SELECT count(*) AS n FROM w.dim');
SQL
$primary->safe_psql('postgres', 'SELECT count(*) FROM strata.refresh()');
$primary->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
$standby->start;

my $verify = q(SELECT model, status, missing, unexpected FROM strata.verify() ORDER BY 1);
my $runs = q(SELECT count(*) FROM strata.runs);
$primary->wait_for_catchup($standby);
my $before = $primary->safe_psql('postgres', $runs);
is($standby->safe_psql('postgres', $verify), "w.bag|equal|0|0\nw.count|equal|0|0\nw.dim|equal|0|0", 'all is equal on the standby');
is($standby->safe_psql('postgres', q(SELECT status FROM strata.verify('w.bag', sample => 0.5))), 'equal', 'so is a share');

$primary->safe_psql('postgres', q(DELETE FROM w.bag WHERE v = 'v7'));
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $verify), "w.bag|diverged|1|0\nw.count|equal|0|0\nw.dim|equal|0|0", 'the fence tells on the standby too that no source changed');
$primary->safe_psql('postgres', q(INSERT INTO w.source VALUES (501, 'v501')));
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $verify), "w.bag|stale|2|0\nw.count|equal|0|0\nw.dim|stale|1|0", 'and that one did');

my ($status, $out, $err) = $standby->psql('postgres', q(SELECT * FROM strata.verify(repair => true)));
like($err, qr/cannot repair in a read-only transaction/, 'no repair there');
is($primary->safe_psql('postgres', $runs), $before, 'no record of it');
$standby->stop;

# a transaction open in another database writes nothing here, whether it is older than the snapshot's last or not: fences are kept beside it
$primary->safe_psql('postgres', 'CREATE DATABASE elsewhere');
my $other = IPC::Run::start(
	[ 'psql', '-X', '-d', $primary->connstr('elsewhere'), '-c', 'BEGIN; SELECT txid_current(); SELECT pg_sleep(3600)' ],
	'>', \my $other_out, '2>', \my $other_err);
my $open = q(FROM pg_stat_activity WHERE datname = 'elsewhere' AND backend_xid IS NOT NULL);
$primary->poll_query_until('postgres', "SELECT count(*) = 1 $open AND query ~ 'pg_sleep' AND wait_event = 'PgSleep'") or die 'no transaction elsewhere';
my $fences = q(SELECT count(*) FROM strata_state.model WHERE fence_lsn IS NOT NULL);
for my $after ('no', 'a later')
{
	$primary->safe_psql('postgres', 'UPDATE strata_state.model SET fence_lsn = NULL, fence_inputs = NULL');
	$primary->safe_psql('postgres', 'SELECT txid_current()') if $after eq 'a later';
	$primary->safe_psql('postgres', q(SELECT count(*) FROM strata.refresh(full_rebuild => true)));
	is($primary->safe_psql('postgres', $fences), '3', "fences beside a transaction of another database, and $after one that has ended");
}
$primary->safe_psql('postgres', "SELECT pg_terminate_backend(pid) $open");
$other->finish;

# one of this database may have written what no snapshot shows yet
my $mine = IPC::Run::start(
	[ 'psql', '-X', '-d', $primary->connstr('postgres'), '-c', 'BEGIN; SELECT txid_current(); SELECT pg_sleep(3600)' ],
	'>', \my $mine_out, '2>', \my $mine_err);
my $here = q(FROM pg_stat_activity WHERE datname = 'postgres' AND backend_xid IS NOT NULL AND pid <> pg_backend_pid());
$primary->poll_query_until('postgres', "SELECT count(*) = 1 $here AND wait_event = 'PgSleep'") or die 'no transaction here';
$primary->safe_psql('postgres', q(SELECT count(*) FROM strata.refresh(full_rebuild => true)));
is($primary->safe_psql('postgres', $fences), '0', 'none beside one of this database');
$primary->safe_psql('postgres', q(DELETE FROM w.bag WHERE v = 'v9'));
like($primary->safe_psql('postgres', q(SELECT message FROM strata.verify('w.bag'))),
	qr/other transactions of this database were open.*repair => true\) mends/, 'which verify says, with what to do');
$primary->safe_psql('postgres', "SELECT pg_terminate_backend(pid) $here");
$mine->finish;
$primary->stop;
done_testing();
