package Refresh::Minimise;
# Minimise: leaves out steps and parts of steps while the case fails in the same way.
use strict;
use warnings;
use Exporter 'import';
use Refresh::Rand;
our @EXPORT = qw(minimise);

# what makes two failures the same
sub signature
{
	my ($failure) = @_;
	return $failure->{kind} unless $failure->{kind} eq 'error';
	my ($first) = split /\n/, $failure->{text};
	$first =~ s/"[^"]*"|'[^']*'|\d{2,}|fz\.m\d|src\.t\d|m\d+_\w+|\([^)]*\)//g;
	return "error $first";
}

# the list without what is not needed: whole halves first, then ever smaller parts
sub without
{
	my ($list, $holds) = @_;
	my @list = @$list;
	my $n = 2;
	while (@list)
	{
		$n = @list if $n > @list;
		my $size = int((@list + $n - 1) / $n);
		my $less = 0;
		for (my $at = @list - $size; $at > -$size; $at -= $size)
		{
			my $from = $at < 0 ? 0 : $at;
			my $to = $at + $size - 1;
			next if $to >= @list;
			my @try = @list[ grep { $_ < $from || $_ > $to } 0 .. $#list ];
			my $said = $holds->(\@try);
			return \@list unless defined $said;
			if ($said) { @list = @try; $less = 1 }
		}
		last if $size == 1 && !$less;
		$n = $size == 1 ? scalar @list : $n * 2;
	}
	return \@list;
}

# text to nodes: strings, and [id, long nodes, short nodes]
my $ids;
sub parse
{
	my ($tokens) = @_;
	my @nodes;
	while (@$tokens && $tokens->[0] !~ /^[\x02\x03]$/)
	{
		my $token = shift @$tokens;
		if ($token ne "\x01") { push @nodes, $token; next }
		my $id = ++$ids;
		my $long = parse($tokens);
		shift @$tokens;
		my $short = parse($tokens);
		shift @$tokens;
		push @nodes, [ $id, $long, $short ];
	}
	return \@nodes;
}

sub parts_of { return map { ref $_ ? ($_->[0], parts_of(@{ $_->[1] })) : () } @_ }

# with the parts that are kept still marked
sub render
{
	my ($gone, @nodes) = @_;
	return join '', map { !ref $_ ? $_ : $gone->{ $_->[0] } ? render($gone, @{ $_->[2] }) : "\x01" . render($gone, @{ $_->[1] }) . "\x03" . render($gone, @{ $_->[2] }) . "\x02" } @nodes;
}

# (steps, failure): fails(steps) runs them and returns the failure; seconds: for how long
sub minimise
{
	my ($steps, $failure, $fails, $seconds) = @_;
	my $same = signature($failure);
	my $end = time + $seconds;
	my $best = [ @$steps[ 0 .. $failure->{step} ] ];
	my $holds = sub {
		my ($try) = @_;
		return if time > $end;
		my $found = $fails->($try);
		return 0 unless $found && signature($found) eq $same;
		$failure = $found;
		return 1;
	};

	for my $pass (1 .. 3)
	{
		my $before = join "\n", map { $_->{sql} // $_->{of} } @$best;
		$best = without($best, $holds);
		my @nodes = map { defined $_->{sql} ? parse([ grep { $_ ne '' } split /([\x01\x02\x03])/, $_->{sql} ]) : [] } @$best;
		my $with = sub {
			my %keep = map { $_ => 1 } @{ $_[0] };
			my %gone = map { $_ => 1 } grep { !$keep{$_} } map { parts_of(@$_) } @nodes;
			my $n = 0;
			return [ map { my $nodes = $nodes[ $n++ ]; defined $_->{sql} ? { %$_, sql => render(\%gone, @$nodes) } : $_ } @$best ];
		};
		my $kept = without([ map { parts_of(@$_) } @nodes ], sub { return $holds->($with->($_[0])) });
		$best = $with->($kept);
		# the simplest refresh that does
		for my $i (grep { $best->[$_]{t} eq 'refresh' } 0 .. $#$best)
		{
			for my $less ([ rebuild => 0 ], [ how => '' ], [ of => '*' ], [ of => $failure->{model} ])
			{
				my ($what, $value) = @$less;
				last if $best->[$i]{of} eq '*' && $what eq 'of' || !defined $value;
				next if ($best->[$i]{$what} || '') eq ($value || '');
				my @try = @$best;
				$try[$i] = { %{ $best->[$i] }, $what => $value };
				$best = \@try if $holds->(\@try);
			}
		}
		last if time > $end || $before eq join "\n", map { $_->{sql} // $_->{of} } @$best;
	}
	# leave the failure of what is kept
	my $last = $fails->($best);
	return ($best, $last // $failure, defined $last);
}

1;
