# House.pm: what the lint scripts share: the rooms and floors as docs/dev/architecture.md has them, the files, and the
# report. Each script reports problems as "file:line: what" and exits non-zero when there are any.
package House;
use strict;
use warnings;
use File::Basename qw(dirname);
use Cwd qw(abs_path);
use Exporter qw(import);
our @EXPORT = qw(floors room_of sources lines slurp complain finish without_comments);

chdir dirname(dirname(dirname(abs_path(__FILE__)))) or die $!;

my $problems = 0;

sub complain { print join('', @_), "\n"; $problems++; return }
sub finish { exit($problems ? 1 : 0) }

# room => floor, from the table under "Rooms and floors"
sub floors
{
	my (%floor, $inside);
	for (lines('docs/dev/architecture.md'))
	{
		$inside = /^## Rooms and floors/ if /^## /;
		next unless $inside && /^\|\s*(\d+)\s*\|([^|]*)\|/;
		my ($number, $cell) = ($1, $2);
		$floor{$1} = $number while $cell =~ m{`(?:src/)?(\w+)(?:/|\.c)`}g;
	}
	die "docs/dev/architecture.md has no table of rooms\n" unless %floor;
	return %floor;
}

# src/base/sql.c => base; src/init.c => init
sub room_of { return $_[0] =~ m{^src/(\w+)/} ? $1 : $_[0] =~ m{^src/(\w+)\.[ch]} ? $1 : undef }

sub sources { return sort map { glob } @_ ? @_ : ('src/*.[ch]', 'src/*/*.[ch]') }

sub slurp
{
	open my $fh, '<', $_[0] or die "$_[0]: $!\n";
	local $/;
	return <$fh> // '';
}

sub lines { my @lines = split /\n/, slurp($_[0]), -1; pop @lines if @lines && $lines[-1] eq ''; return @lines }

# C or SQL text with its comments blanked, line numbers kept; strings are kept too
sub without_comments
{
	my ($text, $language) = @_;
	my $comment = $language eq 'sql' ? qr{--[^\n]*|/\*.*?\*/}s : qr{//[^\n]*|/\*.*?\*/}s;
	my $string  = $language eq 'sql' ? qr{'(?:[^']|'')*'|(?<tag>\$(?:[A-Za-z_]\w*)?\$).*?\k<tag>}s : qr{"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])+'}s;
	$text =~ s{(?<string>$string)|(?<comment>$comment)}{ $+{string} // $+{comment} =~ s/[^\n]/ /gr }ge;
	return $text;
}

1;
