# A subscriber of a mart gets what a refresh makes of it, a full rebuild and a first build included: logical decoding leaves
# out what is written to new storage, so where a slot is, rows are changed one by one.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('logical');
$node->init(allows_streaming => 'logical', extra => [ '--locale=C.UTF-8', '-E', 'UTF8' ]);
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION pg_strata;
	CREATE TABLE public.source (id integer PRIMARY KEY, v text);
	INSERT INTO source SELECT g, 'v' || g FROM generate_series(1, 50) AS g;
	SELECT strata.define_mart('public.mart', 'SELECT id, v FROM public.source', key => '{id}');
	CREATE PUBLICATION pub FOR TABLE mart;
	SELECT pg_create_logical_replication_slot('slot', 'pgoutput')});

my $before = $node->safe_psql('postgres', q{SELECT pg_relation_filenode('mart')});
my $read = q{SELECT count(*) FILTER (WHERE get_byte(data, 0) = ascii('I')), count(*) FILTER (WHERE get_byte(data, 0) = ascii('U')), count(*) FILTER (WHERE get_byte(data, 0) = ascii('D'))
	FROM pg_logical_slot_get_binary_changes('slot', NULL, NULL, 'proto_version', '1', 'publication_names', 'pub')};
$node->safe_psql('postgres', q{SELECT strata.refresh('mart')});
is($node->safe_psql('postgres', $read), '50|0|0', 'a first build is decoded');
$node->safe_psql('postgres', q{UPDATE source SET v = 'x' WHERE id <= 3; DELETE FROM source WHERE id = 4; SELECT strata.refresh('mart', full_rebuild => true)});
is($node->safe_psql('postgres', $read), '0|3|1', 'a full rebuild is decoded as its differences');
is($node->safe_psql('postgres', q{SELECT pg_relation_filenode('mart')}), $before, 'the storage is not replaced while a slot is there');
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('slot'); SELECT strata.refresh('mart', full_rebuild => true)});
isnt($node->safe_psql('postgres', q{SELECT pg_relation_filenode('mart')}), $before, 'it is replaced when the slot is gone');
is($node->safe_psql('postgres', 'SELECT count(*) FROM (SELECT * FROM source EXCEPT ALL SELECT * FROM mart) AS d'), '0', 'and the rows are the same');
done_testing();
