# A warehouse through pg_dump: plain and custom format, into another database and another cluster, under other roles; a schema
# alone; DROP EXTENSION and CREATE EXTENSION again. What is restored refreshes to nothing, and goes on as if nothing had been.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('source');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE anna LOGIN; CREATE ROLE reader LOGIN; CREATE DATABASE house');
$node->safe_psql('house', 'CREATE EXTENSION pg_strata; CREATE SCHEMA "Entrepôt" AUTHORIZATION anna; CREATE SCHEMA dwh AUTHORIZATION anna');

sub as_anna { return "SET SESSION AUTHORIZATION anna;\n$_[0]"; }

$node->safe_psql('house', as_anna(<<'SQL'));
CREATE TABLE "Entrepôt".clients (client_id integer PRIMARY KEY, nom text, secteur text, vu timestamptz, op text, seq bigint);
INSERT INTO "Entrepôt".clients VALUES (1, 'Abidjan Métal', 'acier', '2026-01-01', 'I', 1), (2, 'Bouaké ''Bois''', 'bois', '2026-01-01', 'I', 2);
CREATE TABLE "Entrepôt".factures (facture_id integer, client_id integer, jour date, montant text);
INSERT INTO "Entrepôt".factures VALUES (1, 1, '2026-01-05', '100'), (2, 2, '2026-02-20', 'x'), (3, 1, '2026-02-01', '50'), (4, 9, '2026-02-02', '7');
SELECT strata.define_source('"Entrepôt".clients', loaded_at => 'vu', warn_after => '1 day', description => 'clients');
SELECT strata.define_staging('dwh.stg_clients', 'SELECT client_id, nom, secteur FROM "Entrepôt".clients');
SELECT strata.define_staging('dwh.stg_factures', 'SELECT facture_id, client_id, jour, strata.try_cast(montant, NULL::numeric) AS montant FROM "Entrepôt".factures',
    materialized => 'table', key => '{facture_id}', reject_failed_casts => true);
SELECT strata.define_dimension('dwh.dim_client', 'SELECT client_id, nom, secteur FROM dwh.stg_clients', key => '{client_id}', history => '{secteur}');
SELECT strata.define_dimension('dwh.dim_feed', 'SELECT client_id, nom, vu, op, seq FROM "Entrepôt".clients',
    key => '{client_id}', effective_from => 'vu', operation => 'op', sequence => 'seq', history => '{nom}');
SELECT strata.define_date_dimension('dwh.dim_date', '2026-01-01', '2026-12-31', locale => 'fr');
SELECT strata.define_fact('dwh.fact', 'SELECT facture_id, client_id, jour, montant FROM dwh.stg_factures', grain => '{facture_id, jour}', partition_by => 'jour',
    dimensions => '{"client_key": {"dimension": "dwh.dim_client", "on": ["client_id"], "as_of": "jour", "missing": "infer"},
                    "date_key": {"dimension": "dwh.dim_date", "on": {"jour": "date"}}}');
SELECT strata.define_mart('dwh."Recettes"', 'SELECT d.secteur, sum(f.montant) AS montant FROM dwh.fact f JOIN dwh.dim_client d USING (client_key) GROUP BY 1',
    description => 'recettes', columns => '{"montant": "FCFA"}', tags => '{finance}');
SELECT strata.define_mart('dwh.n', 'SELECT client_key, count(*) AS n FROM dwh.fact GROUP BY 1', key => '{client_key}', foreign_keys => '{"client_key": "dwh.dim_client"}');
SELECT strata.define_check('dwh."Recettes"', 'not_null', '{montant}');
SELECT strata.define_check('dwh.fact', 'expression', options => '{"expression": "montant > 0"}', name => 'positif', severity => 'warn');
GRANT USAGE ON SCHEMA dwh TO reader;
GRANT SELECT ON dwh."Recettes" TO reader;
SELECT count(*) FROM strata.refresh(as_of => '2026-03-01');
UPDATE "Entrepôt".clients SET secteur = 'fer', nom = 'Abidjan Fer', vu = '2026-02-15', seq = 3 WHERE client_id = 1;
SELECT count(*) FROM strata.refresh(as_of => '2026-03-02');
SQL

# everything a reader, an owner and the extension know
my @contents = (
	'SELECT * FROM dwh.dim_client ORDER BY client_key', 'SELECT * FROM dwh.dim_feed ORDER BY 1',
	'SELECT * FROM dwh.fact ORDER BY facture_id', 'SELECT * FROM dwh."Recettes" ORDER BY 1', 'SELECT * FROM dwh.n ORDER BY 1',
	'SELECT reason, source_row FROM dwh.stg_factures__rejected', 'SELECT * FROM dwh.stg_clients ORDER BY 1');
my @knowledge = (
	'SELECT model, layer, kind, state, row_count, refreshed_at, changed_at, tags, description, reads, query, options, version, id FROM strata.models ORDER BY 1',
	'SELECT source, loaded_at, warn_after, description, read_by FROM strata.sources', 'SELECT * FROM strata.columns ORDER BY 1, 2',
	'SELECT * FROM strata.lineage ORDER BY 1, 2, 3, 4, 5', 'SELECT model, name, kind, options, severity, last_status, id FROM strata.checks ORDER BY 1, 2',
	'SELECT run, model, name, status, failures, id FROM strata.check_results ORDER BY id',
	'SELECT run, kind, models, as_of, status FROM strata.runs ORDER BY 1', 'SELECT run, step, model, action, status, rows_in FROM strata.steps ORDER BY 1, 2',
	q(SELECT regexp_replace(relname, '\d+_', 'N_'), count(*) FROM pg_class WHERE relnamespace = 'strata_state'::regnamespace AND relname ~ '^m\d+_(query|keys|log)$' GROUP BY 1 ORDER BY 1),
	q(SELECT conrelid::regclass, conname, convalidated FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text LIKE 'dwh.%' ORDER BY conrelid::regclass::text, 2));

sub all_of { my ($n, $db, @sql) = @_; return join "\n--\n", map { $n->safe_psql($db, "SET timezone = 'UTC'; $_") } @sql; }

my $was = all_of($node, 'house', @contents, @knowledge);
like($was, qr/Bouak/, 'there is something to dump');
my $dir = $node->basedir;
my ($plain, $custom, $schema, $directory) = ("$dir/plain.sql", "$dir/custom.dump", "$dir/schema.sql", "$dir/directory");
$node->command_ok([ 'pg_dump', '-f', $plain, 'house' ], 'pg_dump, plain');
$node->command_ok([ 'pg_dump', '-Fc', '-f', $custom, 'house' ], 'pg_dump, custom');
$node->command_ok([ 'pg_dump', '-s', '-f', $schema, 'house' ], 'pg_dump, schema only');
$node->command_ok([ 'pg_dump', '-Fd', '-j2', '-f', $directory, 'house' ], 'pg_dump, directory');
unlike(slurp_file($plain), qr/strata_state\.guard_|CREATE TABLE strata_state\.model /, 'what CREATE EXTENSION makes is not in it');

my $other = PostgreSQL::Test::Cluster->new('other');
$other->init;
$other->start;
$other->safe_psql('postgres', 'CREATE ROLE anna LOGIN; CREATE ROLE reader LOGIN; CREATE ROLE dba SUPERUSER LOGIN');

# nothing is to be done, then something is, and everything is as in the original
sub goes_on
{
	my ($n, $db, $what, $role) = @_;
	$role //= 'anna';
	my $run = $n->safe_psql($db, "SET SESSION AUTHORIZATION $role; SELECT model, status, inserted, updated, deleted FROM strata.refresh(as_of => '2026-03-03') WHERE coalesce(inserted + updated + deleted, 0) > 0");
	is($run, '', "$what: a refresh changes nothing");
	is($n->safe_psql($db, "SET SESSION AUTHORIZATION $role; SELECT string_agg(action, ',') FROM strata.refresh('dwh.dim_client', as_of => '2026-03-03')"), 'nothing', "$what: and then knows it");
	$n->safe_psql($db, "SET SESSION AUTHORIZATION $role;" . <<'SQL');
INSERT INTO "Entrepôt".clients VALUES (9, 'Nouveau', 'textile', '2026-03-03', 'I', 9), (10, 'Encore', 'bois', '2026-03-03', 'I', 10);
INSERT INTO "Entrepôt".factures VALUES (5, 10, '2026-05-05', '11');
SELECT count(*) FROM strata.refresh(as_of => '2026-03-04');
SELECT strata.define_mart('dwh.later', 'SELECT count(*) AS n FROM dwh.fact');
SELECT strata.define_check('dwh.later', 'not_null', '{n}');
SELECT count(*) FROM strata.refresh(as_of => '2026-03-05');
SQL
	return all_of($n, $db, @contents);
}

for (
	[ 'plain', [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $plain, '-d' ] ],
	[ 'custom', [ 'pg_restore', '-e', '-d' ] ],
	[ 'parallel', [ 'pg_restore', '-e', '-j2', '-d' ] ],
	[ 'one transaction', [ 'pg_restore', '-1', '-d' ] ],
  )
{
	my ($name, $command) = @$_;
	(my $db = "from $name") =~ s/ /_/g;
	$other->safe_psql('postgres', "CREATE DATABASE $db");
	$other->command_ok([ @$command, $db, $name eq 'plain' ? () : $name eq 'parallel' ? $directory : $custom ], "$name: restores");
	is(all_of($other, $db, @contents, @knowledge), $was, "$name: contents and knowledge are those of the original");
	is($other->safe_psql($db, 'SET SESSION AUTHORIZATION reader; SELECT count(*) FROM dwh."Recettes"; SELECT model FROM strata.models'),
		$node->safe_psql('house', 'SET SESSION AUTHORIZATION reader; SELECT count(*) FROM dwh."Recettes"; SELECT model FROM strata.models'), "$name: a reader's rights");
}
my $expected = goes_on($node, 'house', 'the original');
is(goes_on($other, 'from_plain', 'plain'), $expected, 'plain: goes on as the original does');
is(goes_on($other, 'from_custom', 'custom'), $expected, 'custom: goes on as the original does');
is(goes_on($other, 'from_parallel', 'parallel'), $expected, 'parallel: goes on as the original does');
is( $other->safe_psql('from_one_transaction', 'SELECT strata.drop_model($$dwh.dim_client$$, true); SELECT count(*) FROM strata.models'),
	$other->safe_psql('from_one_transaction', q(SELECT 'dropped model dwh.dim_client and 3 that read it: dwh.fact, dwh."Recettes", dwh.n')) . "\n4",
	'what was restored can be dropped');

# into the same cluster, as another owner
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '-e', '--no-owner', '-d', 'copy', $custom ], 'without owners: restores');
my $me = $node->safe_psql('copy', 'SELECT current_user');
is($node->safe_psql('copy', 'SELECT DISTINCT owner FROM strata.models'), $me, 'without owners: who restored owns');
is(goes_on($node, 'copy', 'without owners', $me), $expected, 'without owners: goes on');

# a schema alone: the definitions' relations are there, the registry is empty, and says so
$other->safe_psql('postgres', 'CREATE DATABASE schema_only');
$other->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $schema, '-d', 'schema_only' ], 'schema only: restores');
is($other->safe_psql('schema_only', 'SELECT count(*) FROM strata.models'), '0', 'schema only: no models');
my ($code, $out, $err) = $other->psql('schema_only', q(SELECT strata.define_mart('dwh.n', 'SELECT 1 AS n')));
like($err, qr/relation dwh\.n exists and is not a model/, 'schema only: its relations are in the way, and named');
$other->safe_psql('schema_only', q(SELECT strata.define_mart('dwh.fresh', 'SELECT 1 AS n'); SELECT count(*) FROM strata.refresh('dwh.fresh')));
is($other->safe_psql('schema_only', 'SELECT n FROM dwh.fresh'), '1', 'schema only: new models get hidden relations of their own');

# DROP EXTENSION: refused while models stand; then the definitions go, the tables stay
my $script = $node->safe_psql('house', q(SELECT strata.export_definitions()));
($code, $out, $err) = $node->psql('house', 'DROP EXTENSION pg_strata');
isnt($code, 0, 'DROP EXTENSION is refused');
($code, $out, $err) = $node->psql('house', 'DROP EXTENSION pg_strata CASCADE');
is($code, 0, 'DROP EXTENSION CASCADE is not');
is($node->safe_psql('house', 'SELECT count(*) FROM dwh.dim_client'), $node->safe_psql('copy', 'SELECT count(*) FROM dwh.dim_client'), 'the targets stay, as plain tables');
is($node->safe_psql('house', q(SELECT count(*) FROM pg_namespace WHERE nspname IN ('strata', 'strata_state'))), '0', 'what the extension kept is gone');
$node->safe_psql('house', 'CREATE EXTENSION pg_strata; DROP SCHEMA dwh CASCADE; CREATE SCHEMA dwh AUTHORIZATION anna');
$node->safe_psql('house', as_anna("$script; SELECT count(*) FROM strata.refresh(as_of => '2026-03-06')"));
is($node->safe_psql('house', 'SELECT * FROM dwh."Recettes" ORDER BY 1'), "bois|11\nfer|150\ntextile|7", 'the exported script makes the warehouse again');
$node->stop;
$other->stop;
done_testing();
