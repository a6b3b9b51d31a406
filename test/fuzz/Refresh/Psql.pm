package Refresh::Psql;
# Psql: a psql that stays, one statement after the other.
use strict;
use warnings;
use IPC::Open2;
use IO::Handle;

sub new
{
	my ($class, $database) = @_;
	my $self = bless { errors => "/tmp/strata_fuzz_refresh.$$.err", marks => 0 }, $class;
	$self->{pid} = open2($self->{out}, $self->{in}, "exec psql -XqAt -F '\x1f' -d $database 2>>$self->{errors}") or die "no psql: $!\n";
	binmode $_, ':utf8' for $self->{out}, $self->{in};
	$self->must($_) for "SET client_min_messages = error", "SET jit = off", "SET lock_timeout = '10s'", "SET statement_timeout = '60s'", "SET timezone = 'UTC'";
	return $self;
}

# (undef, rows) or (SQLSTATE and message); 'lost' when the server is gone
sub run
{
	my ($self, $sql) = @_;
	my $mark = '@@' . ++$self->{marks} . '@@';
	my $end = $sql =~ /^\\\.$/m ? '' : ';';
	my (@rows, @message, $state);
	local $SIG{PIPE} = 'IGNORE';

	return 'lost: no connection' if $self->{lost};
	print { $self->{in} } "$sql\n$end\n\\echo $mark :SQLSTATE\n\\if :ERROR\n\\echo :LAST_ERROR_MESSAGE\n\\endif\n\\echo $mark\n";
	$self->{in}->flush;
	my $out = $self->{out};
	while (my $line = <$out>)
	{
		chomp $line;
		if ($line =~ /^\Q$mark\E (\S+)/) { $state = $1; next }
		if ($line eq $mark)
		{
			return (undef, @rows) if $state eq '00000';
			return "$state " . join(' ', @message);
		}
		if (defined $state) { push @message, $line }
		else { push @rows, $line }
	}
	$self->{lost} = 1;
	return 'lost: the server closed the connection';
}

sub must
{
	my ($self, $sql) = @_;
	my ($error, @rows) = $self->run($sql);
	die "$error\n$sql\n" if defined $error;
	return @rows;
}

# what psql said last on its error output: DETAIL, HINT, CONTEXT
sub last_errors
{
	my ($self) = @_;
	open my $file, '<:utf8', $self->{errors} or return '';
	my @lines = <$file>;
	splice @lines, 0, -12 if @lines > 12;
	return join '', map { length > 1500 ? substr($_, 0, 1500) . "...\n" : $_ } @lines;
}

sub forget_errors { my ($self) = @_; truncate $self->{errors}, 0; return }

sub close
{
	my ($self) = @_;
	CORE::close $self->{in};
	CORE::close $self->{out};
	waitpid $self->{pid}, 0;
	return;
}

1;
