# ALTER EXTENSION UPDATE: an older version, made up here, is brought to the current one by an upgrade script; and the
# upgrade scripts that the project ships form a path from every version they name.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $extension_dir = "$ENV{PG_SHAREDIR}/extension";

sub write_script
{
	my ($name, $text) = @_;
	open my $fh, '>', "$extension_dir/$name" or die "$name: $!";
	print $fh $text;
	close $fh;
	return;
}

my $control = slurp_file("$extension_dir/pg_strata.control");
my ($current) = $control =~ /^default_version\s*=\s*'([^']+)'/m;
ok($current, 'the control file names a version');

# The older version: today's script without strata.version(), which its upgrade script brings back.
my $install_sql = slurp_file("$extension_dir/pg_strata--$current.sql");
my ($function)  = $install_sql =~ /^(CREATE FUNCTION strata\.version\(\).*?;\n)/ms;
ok($function, 'the install script creates strata.version()');
(my $older = $install_sql) =~ s/^CREATE FUNCTION strata\.version\(\).*?;\n(?:COMMENT ON FUNCTION strata\.version\(\).*?;\n)?//ms;
$older .= "\nCREATE TABLE strata_state.from_older (a int);\n"
  . "SELECT pg_catalog.pg_extension_config_dump('strata_state.from_older', '');\n";
write_script('pg_strata--0.0.1.sql', $older);
write_script("pg_strata--0.0.1--$current.sql", "\\echo Use \"ALTER EXTENSION pg_strata UPDATE\" to load this file. \\quit\n$function");

my $node = PostgreSQL::Test::Cluster->new('upgrade');
$node->init;
$node->start;

$node->safe_psql('postgres', q(CREATE EXTENSION pg_strata VERSION '0.0.1'));
is($node->safe_psql('postgres', q(SELECT extversion FROM pg_extension WHERE extname = 'pg_strata')), '0.0.1', 'the older version installs');
$node->safe_psql('postgres', 'INSERT INTO strata_state.from_older VALUES (42)');

# the new library under the older objects refuses, and says what to do
$node->safe_psql('postgres',
	q(CREATE FUNCTION public.library_version() RETURNS text LANGUAGE c AS '$libdir/pg_strata', 'strata_base_version'));
my ($code, $out, $err) = $node->psql('postgres', 'SELECT public.library_version()');
isnt($code, 0, 'a library newer than the objects is refused');
like($err, qr/DETAIL:.*library is \Q$current\E, the objects in this database are 0\.0\.1/, 'both versions are named');
like($err, qr/HINT:.*ALTER EXTENSION pg_strata UPDATE/, 'with the way out');

$node->safe_psql('postgres', 'ALTER EXTENSION pg_strata UPDATE');
is($node->safe_psql('postgres', 'SELECT strata.version()'), $current, 'the update reaches the current version');
is($node->safe_psql('postgres', 'SELECT a FROM strata_state.from_older'), '42', 'the state survives it');

# where no path leads, PostgreSQL says so and nothing changes
($code, $out, $err) = $node->psql('postgres', q(ALTER EXTENSION pg_strata UPDATE TO '99.0'));
like($err, qr/no update path/, 'an unknown version is refused');
is($node->safe_psql('postgres', 'SELECT strata.version()'), $current, 'and changes nothing');

unlink "$extension_dir/pg_strata--0.0.1.sql", "$extension_dir/pg_strata--0.0.1--$current.sql";
is( $node->safe_psql(
		'postgres',
		qq(SELECT count(*) FROM pg_extension_update_paths('pg_strata') WHERE target = '$current' AND path IS NULL)),
	'0', 'every version that the shipped upgrade scripts name leads to the current one');

$node->stop;
done_testing();
