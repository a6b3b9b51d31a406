package Refresh::Rand;
# Rand: random choices, the same for a seed on every machine; and text with parts that the minimiser may leave out.
use strict;
use warnings;
use Exporter 'import';
our @EXPORT = qw(rnd pick chance shuffled opt either plain);

sub rnd { return int(rand($_[0])) }
sub pick { return $_[ rnd(scalar @_) ] }
sub chance { return rand(100) < $_[0] }

sub shuffled
{
	my @list = @_;
	for my $i (reverse 1 .. $#list)
	{
		my $j = rnd($i + 1);
		@list[ $i, $j ] = @list[ $j, $i ];
	}
	return @list;
}

# a part that may go; a part in whose place another may stand
sub opt { return "\x01$_[0]\x03\x02" }
sub either { return "\x01$_[0]\x03$_[1]\x02" }

# the text with every part in place
sub plain
{
	my ($text) = @_;
	1 while $text =~ s/\x01([^\x01\x02\x03]*)\x03[^\x01\x02\x03]*\x02/$1/;
	return $text;
}

1;
