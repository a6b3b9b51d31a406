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
$primary->stop;
done_testing();
