package Refresh::Changes;
# Changes: random changes of the source tables, in transactions of every kind, with refreshes after and within them.
#
# A step is {t => 'dml' | 'tx' | 'ddl' | 'set' | 'refresh', sql, on => 'b' for the second connection}.
use strict;
use warnings;
use utf8;
use Exporter 'import';
use Refresh::Rand;
use Refresh::Tables;
our @EXPORT = qw(round reset_changes);

my ($fresh, $savepoints);    # new keys, never used before

sub reset_changes { ($fresh, $savepoints) = (100000, 0); return }

sub dml { my ($sql) = @_; return { t => 'dml', sql => $sql } }
sub tx { my ($sql) = @_; return { t => 'tx', sql => $sql } }

sub where
{
	my ($table) = @_;
	my $c = pick(@{ $table->{columns} });
	my $class = $T{ $c->{tag} }{c} // '';
	my $kind = rnd(100);
	return 'id = ' . (1 + rnd(30)) if $kind < 30;
	return 'id % ' . (3 + rnd(6)) . ' = ' . rnd(3) if $kind < 50;
	return "k IS NULL" if $kind < 55;
	return "k = " . literal($table->{columns}[1]{tag}, 0) if $kind < 65;
	return "$c->{name} IS " . pick('', 'NOT ') . 'NULL' if $class !~ /^(i|n|t|d|b|f|e|z|ch)$/ || chance(10);
	return "$c->{name} = " . literal($c->{tag}, 0) if $kind < 90;
	return 'ctid IN (SELECT ctid FROM ' . $table->{name} . ' LIMIT ' . (1 + rnd(2)) . ')' if $kind < 95 && !$table->{parts};
	return 'true';
}

# columns an UPDATE may set freely
sub settable
{
	my ($table) = @_;
	return grep { !$_->{generated} && !$_->{serial} && !$_->{parent} && !($table->{shape} eq 'composite' && $_->{name} eq 'k') } @{ $table->{columns} };
}

sub new_value
{
	my ($c) = @_;
	my $class = $T{ $c->{tag} }{c} // '';
	return "$c->{name} + 1" if $class eq 'i' && $c->{tag} ne 'small' && chance(25);
	return "$c->{name} || 'x'" if $c->{tag} eq 'text' && chance(10);
	return literal($c->{tag}, $c->{not_null} ? 0 : 15);
}

sub update_sql
{
	my ($table, $where) = @_;
	my @set = (shuffled(settable($table)))[ 0 .. rnd(2) ];
	my $n = 0;
	return "UPDATE $table->{name} SET " . join('', map { my $s = ($n ? ', ' : '') . "$_->{name} = " . new_value($_); $n++ ? opt($s) : $s } grep { defined } @set) . opt(" WHERE $where");
}

sub copy_sql
{
	my ($table) = @_;
	my @columns = grep { !$_->{generated} } @{ $table->{columns} };
	my $lines = '';
	for (1 .. 1 + rnd(6))
	{
		my @values = map {
			my $v = $_->{name} eq 'id' ? ++$table->{serial} : $_->{parent} ? undef : value($_->{tag}, $_->{not_null} ? 0 : 12);
			$v = 'a' if defined $v && $v =~ /\\|;|'|long/;
			defined $v ? $v : 'null' } @columns;
		$lines .= join('|', map { /["|]/ ? do { my $q = $_; $q =~ s/"/""/g; qq{"$q"} } : $_ eq '' ? '""' : $_ } @values) . "\n";
	}
	return undef if grep { $_->{tag} =~ /^(bytea)$/ } @columns;
	return "COPY $table->{name} (" . join(', ', map { $_->{name} } @columns) . ") FROM stdin WITH (FORMAT csv, DELIMITER '|', NULL 'null');\n$lines\\.";
}

# one change: one or more statements that belong together
sub change
{
	my ($tables, $mild) = @_;
	my $t = pick(@$tables);
	my $name = $t->{name};
	my $where = where($t);
	my $kind = rnd(100);
	my $columns = column_list($t);

	return dml(insert_sql($t, 1 + rnd(4))) if $kind < 20;
	return dml(update_sql($t, $where)) if $kind < 42;
	return dml("DELETE FROM $name" . ($where eq 'true' ? ' WHERE id % 2 = 0' : " WHERE $where")) if $kind < 56;
	return dml("UPDATE $name SET k = k WHERE $where") if $kind < 59;
	return (pick(dml("UPDATE $name SET k = k WHERE false"), dml("DELETE FROM $name WHERE id = -5000"), dml("INSERT INTO $name ($columns) SELECT $columns FROM $name WHERE false"))) if $kind < 61 && !$t->{identity};
	if ($kind < 65)
	{
		# a new key
		return dml(update_sql($t, $where)) if $t->{identity} || !$t->{columns}[0]{serial};
		$fresh += 1000;
		return dml("UPDATE $name SET id = id + $fresh WHERE id = " . (1 + rnd(20))) if chance(60);
		return dml("UPDATE $name SET id = -id WHERE id % 5 = " . rnd(5));
	}
	if ($kind < 71)
	{
		# nothing in the end
		my ($c) = grep { ($T{ $_->{tag} }{c} // '') eq 'i' && $_->{tag} ne 'small' } shuffled(settable($t));
		return (dml("UPDATE $name SET $c->{name} = $c->{name} + 1 WHERE $where"), dml("UPDATE $name SET $c->{name} = $c->{name} - 1 WHERE $where")) if $c && chance(50);
		my $over = $t->{identity} ? 'OVERRIDING SYSTEM VALUE ' : '';
		return dml("WITH gone AS (DELETE FROM $name WHERE $where RETURNING *) INSERT INTO $name ($columns) ${over}SELECT $columns FROM gone") if chance(40);
		my $before = $t->{serial};
		my $insert = insert_sql($t, 1 + rnd(2));
		return (dml($insert), dml("DELETE FROM $name WHERE id > $before AND id < 90000"));
	}
	if ($kind < 75)
	{
		# duplicates, or bulk
		return dml("INSERT INTO $name ($columns) SELECT $columns FROM $name WHERE $where LIMIT 3") if !$t->{columns}[0]{serial} && !$t->{identity};
		$fresh += 1000;
		my @c = map { $_->{name} } grep { !$_->{generated} } @{ $t->{columns} };
		shift @c;
		return dml("INSERT INTO $name (id, " . join(', ', @c) . ") " . ($t->{identity} ? 'OVERRIDING SYSTEM VALUE ' : '') . "SELECT id + $fresh, " . join(', ', @c) . " FROM $name WHERE id < 90000");
	}
	return dml(pick("UPDATE $name SET k = " . literal($t->{columns}[1]{tag}, $t->{columns}[1]{not_null} ? 0 : 10), "DELETE FROM $name WHERE id % 3 <> 0")) if $kind < 78 && $t->{shape} ne 'composite';
	if ($kind < 82)
	{
		my $sql = copy_sql($t);
		return dml($sql) if defined $sql;
	}
	if ($kind < 87 && $t->{key})
	{
		my $insert = insert_sql($t, 1 + rnd(3));
		my ($c) = shuffled(settable($t));
		# ids from among those that are there
		$insert =~ s/VALUES \(\d+/'VALUES (' . (1 + rnd(20))/e;
		$insert =~ s/INTO (\S+) \(/INTO $name AS old (/ unless $name =~ / /;
		return dml(update_sql($t, $where)) if $name =~ / /;
		return dml("$insert ON CONFLICT (" . join(', ', @{ $t->{key} }) . ') ' . ($c && chance(70) ? "DO UPDATE SET $c->{name} = EXCLUDED.$c->{name}" . (chance(30) ? opt(" WHERE old.$c->{name} IS NOT NULL") : '') : 'DO NOTHING'));
	}
	if ($kind < 92)
	{
		my $o = pick(@$tables);
		my ($c) = shuffled(settable($t));
		my $insert = $t->{identity} || $t->{parent} ? '' : do {
			my $one = plain(insert_sql($t, 1));
			my ($row) = $one =~ /VALUES (\(.*\))$/s;
			opt(" WHEN NOT MATCHED THEN INSERT ($columns) VALUES $row");
		};
		return dml("MERGE INTO $name AS t USING (SELECT DISTINCT id FROM $o->{name} WHERE id IS NOT NULL ORDER BY id LIMIT 4) AS s ON t.id = s.id"
				. opt(' WHEN MATCHED AND t.k IS NULL THEN DELETE') . " WHEN MATCHED THEN UPDATE SET $c->{name} = " . literal($c->{tag}, $c->{not_null} ? 0 : 20) . ($t->{columns}[0]{serial} ? '' : $insert)) if $c;
	}
	if ($kind < 94 && @$tables > 1)
	{
		# two tables in one statement
		my $o = pick(@$tables);
		my ($c) = shuffled(settable($o));
		return dml("WITH gone AS (DELETE FROM $name WHERE $where RETURNING id) UPDATE $o->{name} SET $c->{name} = " . literal($c->{tag}, $c->{not_null} ? 0 : 20) . ' WHERE id IN (SELECT id FROM gone)') if $c;
	}
	if ($kind < 96 && $t->{parts})
	{
		my $part = pick(@{ $t->{parts} });
		return dml(pick("UPDATE $part SET k = k", "DELETE FROM $part WHERE $where", "TRUNCATE $part")) unless $mild;
	}
	if ($kind < 98 && !$mild && chance(50))
	{
		return (dml("TRUNCATE $name" . (chance(50) ? ' CASCADE' : '')), chance(60) ? dml(insert_sql($t, 1 + rnd(8))) : ());
	}
	return dml(insert_sql($t, 1 + rnd(4)));
}

sub changes
{
	my ($tables, $n, $mild) = @_;
	return map { change($tables, $mild) } 1 .. $n;
}

# changes with savepoints
sub nested
{
	my ($tables, $depth, $refresh) = @_;
	my @steps = changes($tables, 1 + rnd(3));
	if ($depth > 0 && chance(40))
	{
		my $name = 's' . ++$savepoints;
		push @steps, tx("SAVEPOINT $name"), nested($tables, $depth - 1, $refresh);
		push @steps, $refresh->() if $refresh && chance(30);
		push @steps, tx(pick("ROLLBACK TO $name", "ROLLBACK TO $name", "RELEASE $name")) if chance(85);
		push @steps, changes($tables, rnd(3));
	}
	return @steps;
}

# a block of changes, alone or in a transaction, with refreshes inside
sub block
{
	my ($tables, $refresh) = @_;
	my $kind = rnd(100);
	return changes($tables, 1 + rnd(2)) if $kind < 40;
	my @steps = tx('BEGIN' . (chance(15) ? pick(' ISOLATION LEVEL REPEATABLE READ', ' ISOLATION LEVEL SERIALIZABLE') : ''));
	push @steps, nested($tables, 2, $kind >= 80 ? $refresh : undef);
	if ($kind >= 75)
	{
		# a refresh inside, and another
		push @steps, $refresh->();
		push @steps, nested($tables, 1, $refresh), $refresh->() if chance(50);
		push @steps, changes($tables, 1 + rnd(2)) if chance(30);
	}
	return (@steps, tx(chance(25) ? 'ROLLBACK' : 'COMMIT'));
}

sub side { return map { { %$_, on => 'b' } } @_ }

sub blocks
{
	my ($tables, $refresh, $other) = @_;
	my @steps;
	for (1 .. (chance(12) ? 0 : chance(60) ? 1 : 1 + rnd(3)))
	{
		my @block = block($tables, $refresh);
		# what one session did, another refreshes
		push @steps, $other && chance(15) ? side(@block) : @block;
	}
	return (@steps, $refresh->());
}

# another session's transaction is open meanwhile; it has a table to itself
sub beside
{
	my ($tables, $refresh) = @_;
	my ($mine) = grep { !$_->{parts} && !$_->{parent} && $_->{shape} ne 'keyed' } shuffled(@$tables);
	return blocks($tables, $refresh) unless $mine && @$tables > 1;
	my @rest = grep { $_ != $mine } @$tables;
	my @steps = map { blocks(\@rest, $refresh) } 1 .. 1 + rnd(3);
	my @theirs = (changes([$mine], 1 + rnd(2), 1), chance(30) ? (tx('SAVEPOINT t'), changes([$mine], 1, 1), tx(pick('ROLLBACK TO t', 'RELEASE t'))) : ());
	my @end = chance(10) ? (tx("PREPARE TRANSACTION 'fuzz'"), tx(pick("COMMIT PREPARED 'fuzz'", "ROLLBACK PREPARED 'fuzz'"))) : tx(chance(80) ? 'COMMIT' : 'ROLLBACK');
	# its statements among ours, in their order
	my @at = sort { $a <=> $b } map { rnd(@steps + 1) } @theirs, @end;
	my @all = side(tx('BEGIN'));
	for my $i (0 .. @steps)
	{
		while (@at && $at[0] == $i) { shift @at; push @all, side(@theirs ? shift @theirs : shift @end) }
		push @all, $steps[$i] if $i < @steps;
	}
	return (@all, chance(70) ? $refresh->() : ());
}

# what happens until and with the next refresh
sub round
{
	my ($tables, $refresh, $weights, $models) = @_;
	my @steps;

	if (chance($weights->{bypass}))
	{
		my $t = pick(@$tables);
		my ($off, $on) = @{ pick([ 'SET session_replication_role = replica', 'RESET session_replication_role' ], [ "ALTER TABLE $t->{name} DISABLE TRIGGER USER", "ALTER TABLE $t->{name} ENABLE TRIGGER USER" ]) };
		push @steps, { t => 'set', sql => $off }, changes([$t], 1 + rnd(2)), { t => 'set', sql => $on };
	}
	push @steps, ddl(pick(@$tables)) if chance($weights->{ddl});
	push @steps, redefine(pick(@$models)) if chance($weights->{redefine});
	if (chance($weights->{hand}))
	{
		my $name = pick(@$models)->{name};
		push @steps, { t => 'hand', name => $name, sql => pick("DELETE FROM $name WHERE ctid = (SELECT min(ctid) FROM $name)", "INSERT INTO $name SELECT * FROM $name LIMIT 1", "TRUNCATE $name") }, { t => 'refresh', of => '*' };
	}
	push @steps, { t => 'plan', sql => "SELECT count(*) FROM strata.plan(data => true)" } if chance(3);
	# whichever way it goes
	if (chance(40))
	{
		my $rule = pick(qw(auto costs costs algebra keys keys full));
		push @steps, map { { t => 'set', sql => "SET strata.incremental_rule = $rule", on => $_ } } undef, 'b';
	}
	return (@steps, chance($weights->{concurrent}) ? beside($tables, $refresh) : blocks($tables, $refresh, 1));
}

# the model again: with fewer rows, as it was, or gone and back
sub redefine
{
	my ($m) = @_;
	my $sql = $m->{sql};
	return { t => 'model', name => $m->{name}, sql => $sql, view => $m->{view} } if chance(30);
	my $c = pick(@{ $m->{cols} });
	$sql =~ s/(\$q\$)(.*)\$q\$/"$1SELECT * FROM ($2) AS redefined WHERE $c->[0] IS " . pick('', 'NOT ') . 'NULL$q$'/se if chance(70);
	return ({ t => 'drop', name => $m->{name}, sql => "SELECT strata.drop_model('$m->{name}')" }, { t => 'model', name => $m->{name}, sql => $sql, view => $m->{view} }, { t => 'refresh', of => '*' }) if chance(30);
	return ({ t => 'model', name => $m->{name}, sql => $sql, view => $m->{view} }, { t => 'refresh', of => '*' });
}

sub ddl
{
	my ($t) = @_;
	my $name = $t->{name};
	my ($c) = grep { !$_->{generated} && !$_->{serial} && !$_->{parent} && $_->{tag} =~ /^(int|n2|small|char)$/ } shuffled(@{ $t->{columns} });
	my @kinds = map { { t => 'ddl', sql => $_ } } ("VACUUM FULL $name", "ANALYZE $name", "CREATE INDEX ON $name (k)", "ALTER TABLE $name ADD COLUMN extra_" . ($fresh += 1) . " int DEFAULT 5", "VACUUM $name");
	push @kinds, { t => 'ddl', sql => "ALTER TABLE $name ALTER COLUMN $c->{name} TYPE " . { int => 'bigint', small => 'integer', n2 => 'numeric(14,3)', char => 'char(5)' }->{ $c->{tag} } } if $c;
	my ($full) = grep { $_->{not_null} && !$_->{generated} && !$_->{serial} && !$_->{parent} } shuffled(@{ $t->{columns} });
	if ($full && chance(30))
	{
		$full->{not_null} = 0;
		return { t => 'ddl', sql => "ALTER TABLE $name ALTER COLUMN $full->{name} DROP NOT NULL" };
	}
	if ($t->{parts} && chance(70))
	{
		my $n = rnd(scalar @{ $t->{parts} });
		my ($part, $bounds) = ($t->{parts}[$n], $t->{bounds}[$n]);
		return ({ t => 'ddl', sql => "ALTER TABLE $name DETACH PARTITION $part" }, chance(50) ? dml("DELETE FROM $part WHERE id % 2 = 0") : (), chance(40) ? { t => 'refresh', of => '*' } : (),
			chance(60) ? { t => 'ddl', sql => "ALTER TABLE $name ATTACH PARTITION $part $bounds" } : ());
	}
	return pick(@kinds);
}

1;
