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
# a transaction of autovacuum that is open during a refresh would make verify say less than the page shows
$node->append_conf('postgresql.conf', 'autovacuum = off');
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

# ---- completeness ----

# What the page has a heading for: "### name(...)" or "### strata.name".
sub headings
{
	my ($file) = @_;
	my %found;
	$found{$_} = 1 for slurp_file($file) =~ /^### `?(?:strata\.)?(\w+(?:\.\w+)?)/mg;
	return \%found;
}

sub compare
{
	my ($what, $file, @expected) = @_;
	my $found = headings($file);
	my @missing = grep { !$found->{$_} } @expected;
	my %expected = map { $_ => 1 } @expected;
	my @gone = grep { !$expected{$_} } sort keys %$found;
	ok(@expected > 0, "there are ${what}s");
	is("@missing", '', "every $what is described in $file");
	is("@gone", '', "every $what described in $file is there");
	return;
}

my @functions = split /\n/, $node->safe_psql('quickstart', q{
	SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'strata'::regnamespace ORDER BY 1});
compare('function', 'docs/functions.md', @functions);

my $functions_page = slurp_file('docs/functions.md');
my @arguments = split /\n/, $node->safe_psql('quickstart', q{
	SELECT proname || ' ' || a FROM pg_proc, unnest(proargnames) a WHERE pronamespace = 'strata'::regnamespace ORDER BY 1});
my @unnamed;
for (@arguments)
{
	my ($function, $argument) = split / /;
	my ($section) = $functions_page =~ /^### `?(?:strata\.)?\Q$function\E\b(.*?)(?=^##|\z)/ms;
	push @unnamed, "$function($argument)" unless ($section // '') =~ /\b\Q$argument\E\b/;
}
is("@unnamed", '', 'every argument and result column of a function is named in its section of docs/functions.md');

my @views = split /\n/, $node->safe_psql('quickstart', q{
	SELECT relname FROM pg_class WHERE relnamespace = 'strata'::regnamespace AND relkind IN ('v', 'r', 'm') ORDER BY 1});
compare('view', 'docs/views.md', @views);

my $views_page = slurp_file('docs/views.md');
my (@undescribed, @no_more);
for my $view (@views)
{
	my ($section) = $views_page =~ /^### `?(?:strata\.)?\Q$view\E\b(.*?)(?=^##|\z)/ms;
	my %described = map { $_ => 1 } ($section // '') =~ /^\| `(\w+)` \|/mg;
	for my $column (split /\n/, $node->safe_psql('quickstart', qq{
		SELECT attname FROM pg_attribute WHERE attrelid = 'strata.$view'::regclass AND attnum > 0 ORDER BY attnum}))
	{
		push @undescribed, "$view.$column" unless delete $described{$column};
	}
	push @no_more, map { "$view.$_" } sort keys %described;
}
is("@undescribed", '', 'every column of a view is described in docs/views.md');
is("@no_more", '', 'every column described in docs/views.md is there');

my @settings = split /\n/, $node->safe_psql('quickstart', q{
	SELECT strata.version() \g /dev/null
	SELECT name FROM pg_settings WHERE name LIKE 'strata.%' ORDER BY 1});
{
	my $found = headings('docs/settings.md');
	my %described = map { s/^strata\.//r => 1 } keys %$found;
	my @expected = map { s/^strata\.//r } @settings;
	ok(@expected > 0, 'there are settings');
	is(join(' ', grep { !delete $described{$_} } @expected), '', 'every setting is described in docs/settings.md');
	is(join(' ', sort keys %described), '', 'every setting described in docs/settings.md is there');
}

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

# ---- examples ----

# Each block of sql that a block of text follows is run, all blocks of a page in one session, in a copy of the README's warehouse; the
# text is what psql must print. STRATA_DOCS_WRITE=DIR writes the pages with what it does print to DIR.
sub examples
{
	my ($page) = @_;
	my $text = slurp_file($page);
	my $database = basename($page, '.md');
	my @parts = split /^(```sql\n.*?^```\n)/ms, $text;
	my ($script, $n) = ("\\set QUIET on\n\\pset footer off\n\\pset pager off\nSET timezone = 'UTC';\n", 0);
	for my $part (@parts)
	{
		$script .= sprintf("\\echo @@%d@@\n%s", $n++, $1) if $part =~ /\A```sql\n(.*?)^```\n\z/ms;
	}
	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE quickstart");
	my ($file, $output) = (PostgreSQL::Test::Utils::tempdir() . '/script.sql', '');
	open my $fh, '>', $file or die "$file: $!";
	print $fh $script;
	close $fh;
	IPC::Run::run([ 'psql', '-X', '-d', $node->connstr($database), '-f', $file ], '>', \$output, '2>&1');
	my %got = $output =~ /^@@(\d+)@@\n(.*?)(?=^@@|\z)/msg;
	$n = 0;
	for my $i (0 .. $#parts)
	{
		next unless $parts[$i] =~ /\A```sql\n/;
		my ($sql, $raw) = ($parts[$i], $got{$n++} // '');
		my $got = tidy($raw);
		my ($want) = ($parts[ $i + 1 ] // '') =~ /\A```text\n(.*?)^```\n/ms;
		is($got, tidy($want // ''), "$page: " . substr($sql, 7, 70) =~ s/\n.*//sr);
		my $shown = $raw =~ s/[ \t]+$//mgr =~ s/^psql:\S+ //mgr =~ s/\n+\z//r;
		$parts[ $i + 1 ] =~ s/\A```text\n.*?^```\n/```text\n$shown\n```\n/ms
		  if defined $want;
	}
	if (my $dir = $ENV{STRATA_DOCS_WRITE})
	{
		open my $out, '>', "$dir/" . basename($page) or die "$dir: $!";
		print $out join('', @parts);
		close $out;
	}
	return;
}
examples($_) for qw(docs/functions.md docs/views.md docs/concepts.md);

# ---- links ----

# pages that others write; a page that is there is no longer excused
my %awaited = map { ("docs/$_.md" => 1) } qw();
my @broken;
for my $page ('README.md', glob('docs/*.md docs/dev/*.md examples/*/*.md'))
{
	my $text = slurp_file($page);
	$text =~ s/^```.*?^```//msg;
	for my $link ($text =~ /\]\(([^)#\s]+)(?:#[^)]*)?\)/g)
	{
		next if $link =~ /^\w+:/;
		my $target = File::Spec->catfile(dirname($page), $link);
		# the pages of rooms are beside the code, which is not here
		push @broken, "$page: $link" unless -e $target || $awaited{ File::Spec->canonpath($target) } || $link =~ m{(?:^|/)(?:src|LICENSE)};
	}
}
my $index = slurp_file('docs/README.md');
is(join(' ', grep { basename($_) ne 'README.md' && index($index, '(' . basename($_) . ')') < 0 } glob('docs/*.md')), '', 'docs/README.md leads to every page');
is("@broken", '', 'every link of the pages leads to a page');

$node->stop;
done_testing();
