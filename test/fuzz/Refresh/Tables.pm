package Refresh::Tables;
# Tables: types with their values, and random source tables.
#
# A type is known by a tag. g: equal values look the same, so that groups, DISTINCT and orders are determined by the rows; c: the class
# whose members may be joined; num: sums are exact (no -Infinity of floats: the NaN it makes has another sign); mm: has min and max.
use strict;
use warnings;
use utf8;
use Exporter 'import';
use Refresh::Rand;
our @EXPORT = qw(%T value literal make_tables insert_sql column_list);

sub int_value { return chance(4) ? pick(100, -7, 2000) : rnd(6) }
my @days = ('2024-01-01', '2024-01-31', '2024-02-29', '2024-03-10', '2024-12-31');

our %T = (
	int => { sql => 'integer', g => 1, c => 'i', num => 'i', mm => 1, v => \&int_value },
	big => { sql => 'bigint', g => 1, c => 'i', num => 'i', mm => 1, v => \&int_value },
	small => { sql => 'smallint', g => 1, c => 'i', num => 'i', mm => 1, v => \&int_value },
	n2 => { sql => 'numeric(12,2)', g => 1, c => 'n', num => 'n', mm => 1, v => sub { pick('1', '2.5', '0', '-3.25', '10.01', chance(3) ? 'NaN' : '7') } },
	num => { sql => 'numeric', g => 0, c => 'n', num => 'n', v => sub { pick('1', '1.0', '1.00', '0', '-0.5', '0.001', chance(6) ? pick('NaN', 'Infinity', '-Infinity', '100000000000000000000') : '3') } },
	num0 => { sql => 'numeric', g => 1, c => 'n', num => 'n', mm => 1, v => sub { rnd(8) } },
	avg => { sql => 'numeric', g => 0, c => 'n', num => 'n', v => sub { rnd(5) } },
	text => { sql => 'text', g => 1, c => 't', mm => 1, v => sub { pick('a', 'b', 'c', 'A', '', 'é', chance(3) ? 'long ' x 600 : 'd') } },
	ci => { sql => 'text COLLATE src.nocase', g => 0, c => 'ci', v => sub { pick('a', 'A', 'b', 'B') } },
	char => { sql => 'char(3)', g => 1, c => 'ch', mm => 1, v => sub { pick('a', 'b', 'xy') } },
	date => { sql => 'date', g => 1, c => 'd', mm => 1, v => sub { chance(4) ? pick('infinity', '-infinity') : pick(@days) } },
	ts => { sql => 'timestamp', g => 1, c => 'd', mm => 1, v => sub { pick(@days) . pick('', ' 10:00', ' 10:00:00.000001') } },
	tz => { sql => 'timestamptz', g => 1, c => 'z', mm => 1, v => sub { pick(@days) . pick(' 00:00+00', ' 12:00+00', ' 23:59:59.999999+00') } },
	bool => { sql => 'boolean', g => 1, c => 'b', v => sub { pick('t', 'f') } },
	f8 => { sql => 'double precision', g => 1, c => 'f', num => 'f', mm => 1, v => sub { chance(5) ? pick('NaN', 'Infinity') : pick('0', '1', '0.5', '-2.25', '3') } },
	f4 => { sql => 'real', g => 1, c => 'f', num => 'f', mm => 1, v => sub { pick('0', '1', '0.5', '-2.25', '3') } },
	jsonb => { sql => 'jsonb', g => 1, c => 'j', v => sub { pick('{"a": 1}', '{"a": 2, "b": [1, 2]}', '[]', '["x", "y"]', '[1, 1, 2]', '"x"') } },
	json => { sql => 'json', g => 0, v => sub { pick('{"a":1}', '{"a": 1}', '[]') } },
	iarr => { sql => 'integer[]', g => 1, c => 'ia', mm => 1, v => sub { pick('{}', '{1,2}', '{2,1}', '{NULL}', '{3,3,4}') } },
	tarr => { sql => 'text[]', g => 1, c => 'ta', mm => 1, v => sub { pick('{}', '{a,b}', '{a}') } },
	mood => { sql => 'src.mood', g => 1, c => 'e', mm => 1, v => sub { pick('low', 'high', 'mid') } },
	uuid => { sql => 'uuid', g => 1, c => 'u', v => sub { '00000000-0000-0000-0000-00000000000' . rnd(4) } },
	bytea => { sql => 'bytea', g => 1, c => 'by', v => sub { pick('\x', '\x00', '\x0001') } },
	ivl => { sql => 'interval', g => 0, c => 'iv', num => 'v', v => sub { pick('1 day', '24:00:00', '1 mon', '-02:00') } },
	rng => { sql => 'int4range', g => 1, c => 'r', v => sub { pick('[1,5)', 'empty', '[2,)', '[1,3)') } },
	pair => { sql => 'src.pair', g => 1, c => 'p', v => sub { pick('(1,)', '(,x)', '(2,x)') } },
	point => { sql => 'point', g => 0, v => sub { pick('(0,0)', '(1,2)') } },
	jsonx => { sql => 'jsonb', g => 0, v => sub { '[]' } });

# what columns have, the usual more often
my @tags = ((map { ($_) x 5 } qw(int text)), (map { ($_) x 2 } qw(big n2 num date bool f8 tz)),
	qw(small ci char ts f4 jsonb json iarr tarr mood uuid bytea ivl rng pair point int text));

# an unquoted value for COPY, undef for NULL; and the literal
sub value { my ($tag, $nulls) = @_; return chance($nulls // 12) ? undef : $T{$tag}{v}->() }

sub literal
{
	my ($tag, $nulls) = @_;
	my $value = value($tag, $nulls);
	return 'NULL' unless defined $value;
	return $value if $T{$tag}{c} && $T{$tag}{c} eq 'i';
	$value =~ s/'/''/g;
	return "'$value'";
}

# columns an INSERT names
sub insertable { my ($table) = @_; return grep { !$_->{generated} } @{ $table->{columns} } }

sub column_list { my ($table) = @_; return join ', ', map { $_->{name} } insertable($table) }

sub row_values
{
	my ($table) = @_;
	my $n = 0;
	return map {
		  $_->{serial} ? ++$table->{serial}
		: $_->{parent} ? (chance(25) ? 'NULL' : "(SELECT id FROM $_->{parent} ORDER BY id OFFSET " . rnd(8) . ' LIMIT 1)')
		: $_->{name} eq 'id' ? (chance(90) ? ++$table->{serial} : rnd(10))
		: literal($_->{tag}, $_->{not_null} ? 0 : 12) } insertable($table);
}

sub insert_sql
{
	my ($table, $rows, $into) = @_;
	my $n = 0;
	return "INSERT INTO " . ($into // $table->{name}) . ' (' . column_list($table) . ') ' . ($table->{identity} ? 'OVERRIDING SYSTEM VALUE ' : '') . 'VALUES '
		. join('', map { my $row = '(' . join(', ', row_values($table)) . ')'; $n++ ? opt(", $row") : $row } 1 .. $rows);
}

# (tables, statements)
sub make_tables
{
	my ($n) = @_;
	my (@tables, @steps);

	for my $t (1 .. $n)
	{
		my $shape = pick(qw(plain plain keyed keyed keyed unique composite));
		my $name = chance(6) ? qq{src."T $t"} : "src.t$t";
		my $table = { name => $name, shape => $shape, serial => 0, number => $t };
		my @columns = ({ name => 'id', tag => pick(qw(int int big)) }, { name => 'k', tag => pick(qw(int int text)) });
		my $letter = 'a';
		for (1 .. 2 + rnd(5))
		{
			push @columns, { name => chance(4) ? qq{"Col $letter"} : $letter, tag => pick(@tags) };
			$letter++;
		}
		$_->{not_null} = chance(20) for @columns[ 1 .. $#columns ];
		my $keyed = $shape eq 'keyed' || $shape eq 'composite';
		$columns[0]{serial} = $columns[0]{not_null} = 1 if $keyed || $shape eq 'unique';
		$columns[1]{not_null} = 1 if $shape eq 'composite';
		my @partition;
		if (chance(18))
		{
			# a key holds the partition column, which then is id
			@partition = $keyed || $shape eq 'unique' || chance(50) ? ('id', pick(qw(RANGE HASH LIST))) : ('k', pick(qw(LIST HASH)));
			$table->{partitioned} = 1;
		}
		my @parents = grep { $_->{shape} eq 'keyed' && !$_->{unlogged} } @tables;
		if (@parents && chance(20))
		{
			my $parent = pick(@parents);
			push @columns, { name => 'up', tag => $parent->{columns}[0]{tag}, parent => $parent->{name} };
			$table->{parent} = $parent;
		}
		my @items = map { "$_->{name} " . $T{ $_->{tag} }{sql} . ($_->{not_null} && !$_->{serial} ? ' NOT NULL' : '')
				. ($_->{parent} ? " REFERENCES $_->{parent} (id) ON UPDATE CASCADE ON DELETE " . pick('CASCADE', 'SET NULL') : '') } @columns;
		if ($shape eq 'keyed' && !@partition && chance(20)) { $items[0] .= ' GENERATED ' . pick('ALWAYS', 'BY DEFAULT') . ' AS IDENTITY'; $table->{identity} = 1 }
		if (chance(10))
		{
			push @columns, { name => 'gen', tag => 'big', generated => 1 };
			push @items, 'gen bigint GENERATED ALWAYS AS (id * 2) STORED';
		}
		my $dropped = chance(12) ? rnd(scalar @items) : undef;
		splice @items, $dropped, 0, 'gone text' if defined $dropped;
		push @items, $shape eq 'composite' ? 'PRIMARY KEY (id, k)' : 'PRIMARY KEY (id)' if $keyed;
		push @items, 'UNIQUE (id)' if $shape eq 'unique';
		$table->{columns} = \@columns;
		$table->{key} = $shape eq 'keyed' ? ['id'] : $shape eq 'composite' ? [ 'id', 'k' ] : undef;
		$table->{unlogged} = chance(1) && !@partition && !$table->{parent};
		push @steps, 'CREATE ' . ($table->{unlogged} ? 'UNLOGGED ' : '') . "TABLE $name (" . join(', ', @items) . ')' . (@partition ? " PARTITION BY $partition[1] ($partition[0])" : '');
		if (@partition)
		{
			my $kind = $partition[1];
			my $tag = $partition[0] eq 'id' ? 'int' : $columns[1]{tag};
			my @parts =
				  $kind eq 'RANGE' ? ('FROM (MINVALUE) TO (10)', 'FROM (10) TO (30)', 'DEFAULT')
				: $kind eq 'HASH' ? ('WITH (MODULUS 2, REMAINDER 0)', 'WITH (MODULUS 2, REMAINDER 1)')
				: $tag eq 'text' ? ("IN ('a', 'b')", "IN ('c', NULL)", 'DEFAULT')
				: ('IN (1, 2, 3, 11, 12)', 'IN (4, 5, 6, 13, 14)', 'DEFAULT');
			@parts = ('IN (1, 2, 3, 11, 12)', 'IN (4, 5, 6, 13, 14)', 'DEFAULT') if $kind eq 'LIST' && $partition[0] eq 'id';
			my $p = 0;
			for (@parts)
			{
				$p++;
				my $bounds = $_ eq 'DEFAULT' ? $_ : "FOR VALUES $_";
				push @{ $table->{parts} }, "src.t${t}_p$p";
				push @{ $table->{bounds} }, $bounds;
				push @steps, "CREATE TABLE src.t${t}_p$p PARTITION OF $name $bounds";
			}
		}
		push @steps, "ALTER TABLE $name DROP COLUMN gone" if defined $dropped;
		push @steps, opt("CREATE INDEX ON $name (" . pick(map { $_->{name} } grep { $T{ $_->{tag} }{c} && $T{ $_->{tag} }{c} !~ /^[jp]/ } @columns) . ')') if chance(25);
		my $rows = chance(8) ? 0 : 5 + rnd(35);
		# some times over, with other numbers
		my $times = $rows && chance(30) ? 3 + rnd(8) : 0;
		$table->{est} = $rows * (1 + $times) || 10;
		push @steps, insert_sql($table, $rows) if $rows;
		my @others = map { $_->{name} } grep { !$_->{generated} && $_->{name} ne 'id' } @columns;
		push @steps, "INSERT INTO $name (id, " . join(', ', @others) . ') ' . ($table->{identity} ? 'OVERRIDING SYSTEM VALUE ' : '') . "SELECT id + 1000 * g, " . join(', ', @others) . " FROM $name, generate_series(1, $times) AS g" if $times;
		push @steps, "INSERT INTO $name (" . column_list($table) . ') SELECT ' . column_list($table) . " FROM $name WHERE id % 3 = 0" if $shape eq 'plain' && chance(50);
		push @steps, "ANALYZE $name" if chance(30);
		$table->{cols} = [ map { [ $_->{name}, $_->{tag} ] } @columns ];
		push @tables, $table;
	}
	return (\@tables, \@steps);
}

1;
