package Refresh::Query;
# Query: random SELECTs whose result the rows alone determine.
#
# A relation is {name, cols => [[name, tag]...], est, key}; a query {sql, cols, est, key}: est guesses its rows, key names columns that
# are unique and never NULL. A scope is the columns a clause may use: [[expression, tag]...]. Every join, condition, column and branch
# that a query does not need is an opt() or either(), for the minimiser.
use strict;
use warnings;
use utf8;
use Exporter 'import';
use Refresh::Rand;
use Refresh::Tables;
our @EXPORT = qw(query typed_query reset_aliases);

my $aliases = 0;
my $most = 2500;    # rows a join may give, by guess

sub reset_aliases { $aliases = 0; return }
sub alias { return ($_[0] // 'a') . ++$aliases }
sub num { my ($tag) = @_; return $T{$tag}{num} // '' }
sub comparable { my ($tag) = @_; return $T{$tag}{c} }
sub of { my ($kind, @scope) = @_; return grep { $kind eq 'num' ? num($_->[1]) : $kind eq 'int' ? ($T{ $_->[1] }{c} // '') eq 'i' : $T{ $_->[1] }{$kind} } @scope }

# ---- conditions and expressions ----

sub condition
{
	my (@scope) = @_;
	my ($e, $tag) = @{ pick(@scope) };
	my $class = $T{$tag}{c} // '';
	return "$e IS " . pick('NOT NULL', 'NOT NULL', 'NULL') if chance(20) || $class !~ /^(i|n|t|d|b|f|e|z|ch)$/;
	return "$e IS NOT TRUE" if $class eq 'b' && chance(50);
	return "$e % 3 = " . rnd(3) if $class eq 'i' && chance(25);
	return "$e LIKE " . pick("'a%'", "'%b%'") if $tag eq 'text' && chance(20);
	return "$e BETWEEN " . ($class eq 'n' || $class eq 'f' ? "'0' AND '5'" : '1 AND 4') if $class =~ /^[inf]$/ && chance(20);
	return "$e IN (" . join(', ', map { literal($tag, 3) } 1 .. 3) . ')' if chance(15);
	return "$e IS DISTINCT FROM " . literal($tag) if chance(15);
	return "coalesce($e, " . literal($tag, 0) . ') ' . pick('=', '<>') . ' ' . literal($tag, 0) if chance(10);
	return "$e " . pick('=', '<>', '<', '>', '>=') . ' ' . literal($tag, 0);
}

# a condition that looks into another relation
sub deep_condition
{
	my ($scope, $rels) = @_;
	my ($rel, $b) = (pick(@$rels), alias('b'));
	my @inner = map { ["$b.$_->[0]", $_->[1]] } @{ $rel->{cols} };
	my @pairs = pairs($scope, \@inner);
	return condition(@$scope) unless @pairs;
	my ($x, $y) = @{ pick(@pairs) };
	my $more = chance(40) ? opt(' AND ' . condition(@inner)) : '';
	my $kind = rnd(100);
	return pick('', '', 'NOT ') . "EXISTS (SELECT FROM $rel->{name} AS $b WHERE $x = $y$more)" if $kind < 45;
	$more =~ s/AND/WHERE/;
	return "$x " . pick('', 'NOT ') . "IN (SELECT $y FROM $rel->{name} AS $b$more)" if $kind < 75;
	return "$x " . pick('>', '<', '<>') . ' ' . pick('ALL', 'ANY') . " (SELECT $y FROM $rel->{name} AS $b$more)" if $kind < 80;
	$more =~ s/WHERE/AND/;
	return "(SELECT count(*) FROM $rel->{name} AS $b WHERE $x = $y$more) " . pick('> 1', '= 0', '< 3') if $kind < 92;
	my @numbers = of('int', @$scope);
	my @others = of('int', @inner);
	return 'true' unless @numbers && @others;
	return pick(@numbers)->[0] . ' ' . pick('>', '<=') . ' (SELECT ' . pick('max', 'min', 'avg') . '(' . pick(@others)->[0] . ") FROM $rel->{name} AS $b)";
}

# what of one scope can equal what of the other
sub pairs
{
	my ($left, $right) = @_;
	my @pairs;
	for my $x (@$left)
	{
		my $c = $T{ $x->[1] }{c} or next;
		for my $y (@$right)
		{
			my $d = $T{ $y->[1] }{c} or next;
			next unless $c eq $d || ($c =~ /^[in]$/ && $d =~ /^[in]$/ && chance(20));
			push @pairs, ([ $x->[0], $y->[0] ]) x ($c =~ /^[it]$/ ? 3 : 1);
		}
	}
	return @pairs;
}

sub expression
{
	my ($scope, $rels) = @_;
	my ($e, $tag) = @{ pick(@$scope) };
	my $class = $T{$tag}{c} // '';
	my $kind = rnd(100);

	return [$e, $tag] if $kind < 55;
	if ($rels && $kind < 62)
	{
		my ($rel, $b) = (pick(@$rels), alias('b'));
		my @inner = map { ["$b.$_->[0]", $_->[1]] } @{ $rel->{cols} };
		my @pairs = pairs($scope, \@inner);
		if (@pairs)
		{
			my ($x, $y) = @{ pick(@pairs) };
			my ($call, $type) = @{ aggregate(@inner) };
			my $where = chance(85) ? " WHERE $x = $y" : '';
			return [either("(SELECT $call FROM $rel->{name} AS $b$where)", "NULL::$T{$type}{sql}"), $type] if chance(80);
			return ["EXISTS (SELECT FROM $rel->{name} AS $b$where)", 'bool'];
		}
	}
	return ["CASE WHEN " . condition(@$scope) . " THEN $e END", $tag] if $kind < 68;
	return ["coalesce($e, " . literal($tag, 0) . ')', $tag eq 'num0' ? 'num' : $tag] if $kind < 72 && $tag ne 'small' && $tag !~ /^(ci|n2)$/;
	return ["${e}::text", 'text'] if $kind < 78 && $tag !~ /^(ci|f4|num|avg)$/;
	return ["($e IS NULL)", 'bool'] if $kind < 81;
	return ["$e " . pick('+ 1', '* 2', '- 3'), $tag eq 'small' ? 'int' : $tag] if $class eq 'i';
	return ["$e " . pick('+ 1', '* 2'), $tag] if $class eq 'f';
	return ["round($e, 1)", 'num0'] if $tag eq 'n2' && chance(50);
	return ["$e + 1", $tag eq 'n2' ? 'num0' : $tag] if $class eq 'n' && $tag ne 'avg';
	return [chance(6) ? "src.wrap($e)" : pick("upper($e)", "$e || 'x'", "substr($e, 1, 1)"), 'text'] if $tag eq 'text';
	return ["length($e)", 'int'] if $tag =~ /^(text|char)$/;
	return ["date_trunc('month', ${e}::timestamp)::date", 'date'] if $tag =~ /^(date|ts)$/;
	return ["date_trunc('day', $e)", 'tz'] if $tag eq 'tz';
	return ["(NOT $e)", 'bool'] if $tag eq 'bool';
	return ["$e ->> 'a'", 'text'] if $tag =~ /^json/;
	return ["cardinality($e)", 'int'] if $tag =~ /^[it]arr$/;
	return [$e, $tag];
}

my %sum_gives = (i => 'big', n => 'num0', f => 'f8', v => 'ivl');

# [call, tag]
sub aggregate
{
	my (@scope) = @_;
	my @numbers = grep { $_->[1] ne 'avg' } of('num', @scope);
	my @ordered = of('mm', @scope);
	my @ints = of('int', @scope);
	my $filter = chance(15) ? opt(' FILTER (WHERE ' . condition(@scope) . ')') : '';
	my $kind = rnd(100);

	if ($kind < 30 && @numbers)
	{
		my ($e, $tag) = @{ pick(@numbers) };
		my $n = num($tag);
		my $gives = $tag eq 'big' ? 'num0' : $tag eq 'num' ? 'num' : $tag eq 'f4' ? 'f4' : $sum_gives{$n};
		my $inner = $n eq 'i' && chance(20) ? pick("$e + 1", "$e * 2", "CASE WHEN " . condition(@scope) . " THEN $e ELSE 0 END") : $e;
		return ["sum($inner)$filter", $gives] if chance(70);
		return ["avg($e)$filter", $n eq 'f' ? 'f8' : $n eq 'v' ? 'ivl' : 'avg'] if chance(65) && !($n eq 'v');
		return [pick('stddev', 'variance', 'var_pop', 'stddev_pop') . "($e)$filter", 'avg'] if $n =~ /[in]/;
		return ["sum($e)$filter", $gives];
	}
	if ($kind < 50 && @ordered)
	{
		my ($e, $tag) = @{ pick(@ordered) };
		return [pick('min', 'max') . "($e)$filter", $tag];
	}
	my @known = of('c', @scope);
	return ["count(DISTINCT " . pick(@known)->[0] . ")$filter", 'big'] if $kind < 58 && @known;
	my @texts = grep { $_->[1] eq 'text' } @scope;
	if ($kind < 64 && @texts)
	{
		my $e = pick(@texts)->[0];
		return ["string_agg(" . (chance(25) ? 'DISTINCT ' : '') . "$e, ',' ORDER BY $e" . ")$filter", 'text'];
	}
	my @bools = map { $_->[0] } grep { $_->[1] eq 'bool' } @scope;
	return [pick('bool_and', 'bool_or', 'every') . '(' . (@bools && chance(50) ? pick(@bools) : condition(@scope)) . ")$filter", 'bool'] if $kind < 71;
	if ($kind < 82 && @ints)
	{
		my ($e, $tag) = @{ pick(@ints) };
		my $n = rnd(9);
		return ["array_agg($e ORDER BY $e" . pick('', ' DESC') . ")$filter", 'iarr'] if $n < 2 && $tag eq 'int';
		return ["percentile_cont(0.5) WITHIN GROUP (ORDER BY $e)$filter", 'f8'] if $n < 4;
		return ["percentile_disc(0.4) WITHIN GROUP (ORDER BY $e)$filter", $tag] if $n < 5;
		return ["mode() WITHIN GROUP (ORDER BY $e)$filter", $tag] if $n < 6;
		return [pick('bit_or', 'bit_and') . "($e)$filter", $tag] if $n < 7;
		return ["jsonb_agg($e ORDER BY $e)$filter", 'jsonx'] if $n < 8;
		return ["sum(DISTINCT $e)$filter", $tag eq 'big' ? 'num0' : 'big'];
	}
	return ['count(' . pick(@scope)->[0] . ")$filter", 'big'] if $kind < 90;
	return ["count(*)$filter", 'big'];
}

# ---- FROM ----

sub from_item
{
	my ($rels, $depth) = @_;
	my $a = alias();
	my $kind = rnd(100);
	if ($depth > 0 && $kind < 12)
	{
		my $q = query($rels, $depth - 1);
		return { sql => "($q->{sql}) AS $a", cols => [ map { ["$a.$_->[0]", $_->[1]] } @{ $q->{cols} } ], est => $q->{est}, key => $q->{key} && [ map { "$a.$_" } @{ $q->{key} } ] };
	}
	return { sql => "generate_series(1, " . (2 + rnd(4)) . ") AS $a (n)", cols => [ [ "$a.n", 'int' ] ], est => 4, key => ["$a.n"] } if $kind < 14;
	return { sql => "(VALUES (1, 'a'), (2, 'b'), (NULL, 'c')) AS $a (n, t)", cols => [ [ "$a.n", 'int' ], [ "$a.t", 'text' ] ], est => 3 } if $kind < 16;
	my $rel = pick(@$rels);
	return { sql => "$rel->{name} AS $a", cols => [ map { ["$a.$_->[0]", $_->[1]] } @{ $rel->{cols} } ], est => $rel->{est}, key => $rel->{key} && [ map { "$a.$_" } @{ $rel->{key} } ] };
}

# LATERAL over what stands before it
sub lateral
{
	my ($from, $rels) = @_;
	my $a = alias('l');
	my $how = chance(50) ? ' CROSS JOIN LATERAL ' : ' LEFT JOIN LATERAL ';
	my $on = $how =~ /LEFT/ ? ' ON true' : '';
	my ($arrays) = grep { $_->[1] eq 'iarr' } shuffled(@{ $from->{cols} });
	my ($jsons) = grep { $_->[1] eq 'jsonb' } shuffled(@{ $from->{cols} });
	my ($ints) = of('int', shuffled(@{ $from->{cols} }));
	my ($sql, @cols, $est);

	if ($arrays && chance(60)) { ($sql, $est) = ("unnest($arrays->[0]) AS $a (n)", 2); @cols = (["$a.n", 'int']) }
	elsif ($jsons && chance(60))
	{
		$sql = "jsonb_array_elements_text(CASE WHEN jsonb_typeof($jsons->[0]) = 'array' THEN $jsons->[0] END) AS $a (t)";
		($est, @cols) = (2, ["$a.t", 'text']);
	}
	elsif ($ints && chance(25)) { ($sql, $est) = ("generate_series(1, least($ints->[0], 3)) AS $a (n)", 2); @cols = (["$a.n", 'int']) }
	else
	{
		my ($rel, $b) = (pick(@$rels), alias('b'));
		my @inner = map { ["$b.$_->[0]", $_->[1]] } @{ $rel->{cols} };
		my @pairs = pairs($from->{cols}, \@inner);
		return unless @pairs;
		my ($x, $y) = @{ pick(@pairs) };
		if (chance(60))
		{
			my @calls = map { aggregate(@inner) } 1 .. 1 + rnd(2);
			my $n = 0;
			$sql = '(SELECT ' . join(', ', map { $_->[0] . ' AS v' . ++$n } @calls) . " FROM $rel->{name} AS $b WHERE $y = $x) AS $a";
			$n = 0;
			@cols = map { ["$a.v" . ++$n, $_->[1]] } @calls;
			$est = 1;
		}
		else
		{
			my ($o) = of('g', shuffled(@inner));
			return unless $o;
			$sql = "(SELECT $o->[0] AS v FROM $rel->{name} AS $b WHERE $y = $x ORDER BY 1" . pick('', ' DESC') . opt(' LIMIT ' . (1 + rnd(2))) . ") AS $a";
			@cols = (["$a.v", $o->[1]]);
			$est = 3;
		}
	}
	return { sql => $from->{sql} . opt("$how$sql$on"), cols => [ @{ $from->{cols} }, @cols ], est => $from->{est} * $est, key => $est == 1 ? $from->{key} : undef };
}

sub from_clause
{
	my ($rels, $depth) = @_;
	my $from = from_item($rels, $depth);
	my $joins = chance(45) ? 0 : chance(65) ? 1 : chance(70) ? 2 : 3;

	for (1 .. $joins)
	{
		if (chance(15))
		{
			my $wider = lateral($from, $rels);
			$from = $wider if $wider && $wider->{est} <= $most;
			next;
		}
		my $other = from_item($rels, $depth);
		my @pairs = pairs($from->{cols}, $other->{cols});
		my $all = [ @{ $from->{cols} }, @{ $other->{cols} } ];
		# a look-up: every row meets one at most
		if ($other->{key} && @{ $other->{key} } == 1 && chance(60))
		{
			my @look = grep { $_->[1] eq $other->{key}[0] } @pairs;
			if (@look)
			{
				my ($x, $y) = @{ pick(@look) };
				my $how = pick('JOIN', 'LEFT JOIN');
				$from = { sql => $from->{sql} . opt(" $how $other->{sql} ON $x = $y" . (chance(15) ? opt(' AND ' . condition(@{ $other->{cols} })) : '')), cols => $all, est => $from->{est}, key => $from->{key} };
				next;
			}
		}
		my $est = $from->{est} * $other->{est};
		if (!@pairs || chance(4))
		{
			$from = { sql => $from->{sql} . opt(" CROSS JOIN $other->{sql}"), cols => $all, est => $est } if $est <= 300;
			next;
		}
		my @on = map { "$_->[0] = $_->[1]" } pick(@pairs);
		push @on, join ' = ', @{ pick(@pairs) } if chance(25);
		$est /= $on[0] =~ /\.id = \w+\.id$/ ? 10 + ($from->{est} < $other->{est} ? $from->{est} : $other->{est}) : 4;
		$est /= 4 if @on > 1;
		next if $est > $most;
		my $how = pick('JOIN', 'JOIN', 'LEFT JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN');
		push @on, condition(@$all) if $how ne 'FULL JOIN' && chance(20);
		my $on = shift @on;
		$from = { sql => $from->{sql} . opt(($how eq 'JOIN' ? " $how" : either(" $how", ' JOIN')) . " $other->{sql} ON $on" . join('', map { opt(" AND $_") } @on)), cols => $all, est => $est + ($how eq 'JOIN' ? 0 : $from->{est}) };
	}
	return $from;
}

sub where_clause
{
	my ($scope, $rels, @needed) = @_;
	my @conditions;
	push @conditions, condition(@$scope) if chance(30);
	push @conditions, deep_condition($scope, $rels) if chance(22);
	push @conditions, '(' . condition(@$scope) . opt(' OR ' . (chance(30) ? deep_condition($scope, $rels) : condition(@$scope))) . ')' if chance(8);
	@conditions = shuffled(@conditions);
	my @parts = ((map { " AND $_" } @needed), (map { opt(" AND $_") } @conditions));
	return '' unless @parts;
	return opt(' WHERE true' . join('', @parts)) unless @needed;
	return ' WHERE true' . join '', @parts;
}

# ---- SELECT ----

sub named { my $n = 0; return map { [ 'c' . ++$n, $_->[0], $_->[1] ] } @_ }

# every column but the first $keep may go
sub select_list
{
	my ($keep, @columns) = @_;
	my $n = 0;
	return join '', map { my $c = ($n ? ', ' : '') . "$_->[1] AS $_->[0]"; $n++ < ($keep || 1) ? $c : opt($c) } @columns;
}

sub result
{
	my ($sql, $columns, %more) = @_;
	return { sql => $sql, cols => [ map { [ $_->[0], $_->[2] ] } @$columns ], %more };
}

sub distinct_by { my %seen; return grep { !$seen{ $_->[0] }++ } @_ }

sub project
{
	my ($rels, $depth) = @_;
	my $from = from_clause($rels, $depth);
	my @in = @{ $from->{cols} };
	my @columns = map { expression(\@in, $rels) } 1 .. 1 + rnd(6);
	my ($keep, $key);
	if ($from->{key} && chance(75))
	{
		my %tag = map { $_->[0] => $_->[1] } @in;
		unshift @columns, map { [ $_, $tag{$_} ] } @{ $from->{key} };
		$keep = @{ $from->{key} };
		$key = [ map { "c$_" } 1 .. $keep ];
	}
	@columns = named(@columns);
	return result('SELECT ' . select_list($keep, @columns) . " FROM $from->{sql}" . where_clause(\@in, $rels), \@columns, est => $from->{est}, key => $key);
}

sub grouped
{
	my ($rels, $depth) = @_;
	my $from = from_clause($rels, $depth);
	my @in = @{ $from->{cols} };
	my @sortable = of('g', @in);
	my @by = distinct_by(map { chance(80) ? pick(@sortable) : expression(\@sortable) } 1 .. (chance(60) ? 1 : chance(75) ? 2 : 3)) if @sortable;
	@by = grep { $T{ $_->[1] }{g} } @by;
	return project($rels, $depth) unless @by;
	my $told = chance(35);
	my @calls = $told ? telling(@in) : map { aggregate(@in) } 1 .. 1 + rnd(4);
	my $sets = !$told && chance(10);
	my $keyed = !$sets && chance(60);
	my @needed = $keyed ? map { "$_->[0] IS NOT NULL" } @by : ();
	my $unseen = !$told && !$keyed && !$sets && chance(15);    # groups that the output does not name
	my @columns = named($unseen ? () : @by, @calls, $sets && chance(50) ? [ 'grouping(' . $by[0][0] . ')', 'int' ] : ());
	my $by = join ', ', map { $_->[0] } @by;
	$by = pick("ROLLUP ($by)", "CUBE ($by)", "GROUPING SETS (($by), ())", "GROUPING SETS (($by), ($by[0][0]))") if $sets;
	# a look-alike of what the output names
	$by = join ', ', 1 .. @by if !$sets && !$unseen && chance(20);
	my $having = chance($told ? 4 : 20) ? opt(' HAVING ' . having(@in)) : '';
	return result('SELECT ' . select_list($keyed ? scalar @by : 1, @columns) . " FROM $from->{sql}" . where_clause(\@in, $rels, @needed) . " GROUP BY $by$having", \@columns,
		est => 1 + $from->{est} / 3, key => $keyed ? [ map { "c$_" } 1 .. @by ] : undef);
}

# aggregates that tell the state of a group, in any order
sub telling
{
	my (@scope) = @_;
	my @calls = (["count(*)", 'big']);
	my @numbers = grep { $_->[1] =~ /^(int|big|small|n2)$/ } @scope;
	my @ordered = grep { $_->[1] =~ /^(int|big|n2|text|date|tz)$/ } @scope;
	for (1 .. rnd(4))
	{
		if (@numbers && chance(60))
		{
			my ($e, $tag) = @{ pick(@numbers) };
			push @calls, ["sum($e)", $tag =~ /int|small/ ? 'big' : 'num0'];
			push @calls, ["count($e)", 'big'] if chance(70);
			push @calls, ["sum($e) / count(*)", 'avg'] if chance(20);
		}
		elsif (@ordered)
		{
			my ($e, $tag) = @{ pick(@ordered) };
			push @calls, [pick('min', 'max') . "($e)", $tag];
		}
	}
	return shuffled(@calls);
}

sub having
{
	my (@in) = @_;
	my @ints = of('int', @in);
	return 'count(*) ' . pick('> 1', '< 4', '% 2 = 0') if !@ints || chance(50);
	my $e = pick(@ints)->[0];
	return pick("sum($e) > 3", "max($e) IS NOT NULL", "min($e) < 2", "count(DISTINCT $e) > 1", "avg($e) >= 1");
}

sub scalar_aggregate
{
	my ($rels, $depth) = @_;
	my $from = from_clause($rels, $depth);
	my @columns = named(chance(30) ? telling(@{ $from->{cols} }) : map { aggregate(@{ $from->{cols} }) } 1 .. 1 + rnd(4));
	return result('SELECT ' . select_list(1, @columns) . " FROM $from->{sql}" . where_clause($from->{cols}, $rels) . (chance(10) ? opt(' HAVING ' . having(@{ $from->{cols} })) : ''), \@columns, est => 1);
}

sub distinct
{
	my ($rels, $depth) = @_;
	my $from = from_clause($rels, $depth);
	my @sortable = of('g', @{ $from->{cols} });
	return project($rels, $depth) unless @sortable;
	my @columns = grep { $T{ $_->[1] }{g} } distinct_by(map { expression(\@sortable) } 1 .. 1 + rnd(3));
	return project($rels, $depth) unless @columns;
	my $on = '';
	my ($keep, $key, $order, @needed) = (1, undef, '');
	if (@columns > 1 && chance(45))
	{
		# ordered by all it gives, so that one row is the first
		$on = ' ON (' . $columns[0][0] . ')';
		$order = ' ORDER BY ' . join ', ', map { "$_->[0]" . pick('', ' DESC', ' NULLS FIRST') } @columns;
		$keep = @columns;
		if (chance(60)) { $key = ['c1']; @needed = ("$columns[0][0] IS NOT NULL") }
	}
	elsif (chance(50)) { $key = [ map { "c$_" } 1 .. @columns ]; $keep = @columns; @needed = map { "$_->[0] IS NOT NULL" } @columns }
	@columns = named(@columns);
	return result("SELECT DISTINCT$on " . select_list($keep, @columns) . " FROM $from->{sql}" . where_clause($from->{cols}, $rels, @needed) . $order, \@columns, est => 1 + $from->{est} / 2, key => $key);
}

sub windowed
{
	my ($rels, $depth) = @_;
	my $from = from_clause($rels, $depth);
	my @in = @{ $from->{cols} };
	my @sortable = of('g', @in);
	return project($rels, $depth) unless @sortable;
	my @by = chance(80) ? distinct_by(map { pick(@sortable) } 1 .. (chance(75) ? 1 : 2)) : ();
	my $by = @by ? 'PARTITION BY ' . join(', ', map { $_->[0] } @by) . ' ' : '';
	my @order = distinct_by(map { pick(@sortable) } 1 .. 1 + rnd(2));
	my $order = 'ORDER BY ' . join ', ', map { $_->[0] . pick('', '', ' DESC', ' NULLS FIRST') } @order;
	my @numbers = grep { $_->[1] !~ /^(avg|num|f4)$/ } of('num', @in);
	my (@calls, @columns, $keep);

	if (chance(45))
	{
		# rows that are alike in the order are alike in all, so who is which does not matter
		my $o = $order[0];
		for (1 .. 1 + rnd(2))
		{
			push @calls, pick(["row_number() OVER ($by$order)", 'big'], ["lag($o->[0]) OVER ($by$order)", $o->[1]], ["lead($o->[0], 2) OVER ($by$order)", $o->[1]], ["ntile(3) OVER ($by$order)", 'int'],
				["count(*) OVER ($by$order ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)", 'big'], ["last_value($o->[0]) OVER ($by$order ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)", $o->[1]]);
		}
		@columns = distinct_by(@by, @order);
		$keep = @columns;
	}
	else
	{
		for (1 .. 1 + rnd(2))
		{
			my @choice = (["rank() OVER ($by$order)", 'big'], ["dense_rank() OVER ($by$order)", 'big'], ["count(*) OVER ($by)", 'big'], ["first_value($order[0][0]) OVER ($by$order)", $order[0][1]]);
			if (@numbers)
			{
				my ($e, $tag) = @{ pick(@numbers) };
				my $gives = $tag eq 'big' ? 'num0' : $sum_gives{ num($tag) };
				push @choice, (["sum($e) OVER ($by)", $gives], ["sum($e) OVER ($by$order)", $gives]);
			}
			my @ordered = of('mm', @in);
			if (@ordered) { my ($e, $tag) = @{ pick(@ordered) }; push @choice, ["max($e) OVER ($by)", $tag], ["min($e) OVER ($by$order)", $tag] }
			push @calls, pick(@choice);
		}
		@columns = map { expression(\@in) } 1 .. 1 + rnd(3);
		unshift @columns, @by if chance(60);
		$keep = 1;
	}
	@columns = named(@columns, @calls);
	my $q = result('SELECT ' . select_list($keep, @columns) . " FROM $from->{sql}" . where_clause(\@in, $rels), \@columns, est => $from->{est});
	if (chance(20))
	{
		my ($a, $last) = (alias(), $columns[-1]);
		$q->{sql} = opt("SELECT $a.* FROM (") . $q->{sql} . opt(") AS $a WHERE $a.$last->[0] " . (($T{ $last->[2] }{c} // '') eq 'i' ? '<= 2' : 'IS NOT NULL'));
	}
	return $q;
}

# a query of columns of the given types
sub typed_query
{
	my ($rels, $depth, @tags) = @_;
	my $from = from_clause($rels, $depth);
	my @columns = named(map {
		my $tag = $_;
		my ($c) = grep { $_->[1] eq $tag } shuffled(@{ $from->{cols} });
		[ $c ? $c->[0] : literal($tag) . "::$T{$tag}{sql}", $tag ] } @tags);
	return result('SELECT ' . select_list(scalar @columns, @columns) . " FROM $from->{sql}" . where_clause($from->{cols}, $rels), \@columns, est => $from->{est});
}

sub set_operation
{
	my ($rels, $depth) = @_;
	my @tags = map { pick(qw(int int text text big date bool n2 f8)) } 1 .. 1 + rnd(3);
	my $q = typed_query($rels, $depth - 1, @tags);
	for (1 .. (chance(75) ? 1 : 2))
	{
		my $other = typed_query($rels, $depth - 1, @tags);
		my $how = pick('UNION ALL', 'UNION ALL', 'UNION', 'EXCEPT', 'INTERSECT', 'EXCEPT ALL', 'INTERSECT ALL');
		$q = { sql => $q->{sql} . opt(" $how ($other->{sql})"), cols => $q->{cols}, est => $q->{est} + $other->{est} };
	}
	return $q;
}

sub limited
{
	my ($rels, $depth) = @_;
	my $from = from_clause($rels, $depth);
	my @sortable = of('g', @{ $from->{cols} });
	return project($rels, $depth) unless @sortable;
	my @columns = named(distinct_by(map { pick(@sortable) } 1 .. 1 + rnd(3)));
	my $order = join ', ', map { "$_->[1]" . pick('', '', ' DESC') } @columns;
	return result('SELECT ' . select_list(scalar @columns, @columns) . " FROM $from->{sql}" . where_clause($from->{cols}, $rels) . " ORDER BY $order LIMIT " . (1 + rnd(12)) . (chance(25) ? opt(' OFFSET ' . rnd(4)) : ''),
		\@columns, est => 8);
}

sub recursive
{
	my ($rels) = @_;
	my ($rel) = grep { of('int', map { [ $_->[0], $_->[1] ] } @{ $_->{cols} }) } shuffled(@$rels);
	return project($rels, 0) unless $rel;
	my $c = pick(of('int', @{ $rel->{cols} }))->[0];
	my $w = alias('r');
	return { sql => "WITH RECURSIVE $w (c1, c2) AS (SELECT ${c}::bigint, 1 FROM $rel->{name} UNION SELECT c1 + 1, c2 + 1 FROM $w WHERE c2 < 3) SELECT c1, c2 FROM $w",
		cols => [ [ 'c1', 'big' ], [ 'c2', 'int' ] ], est => $rel->{est} * 3 };
}

sub with
{
	my ($rels, $depth) = @_;
	my $first = query($rels, $depth - 1);
	my $w = alias('w');
	my $body = query([ @$rels, ({ name => $w, cols => $first->{cols}, est => $first->{est}, key => $first->{key} }) x @$rels ], $depth - 1);
	if ($body->{sql} =~ /^\x01?WITH/)
	{
		my $a = alias();
		$body->{sql} = "SELECT $a.* FROM ($body->{sql}) AS $a";
	}
	return { %$body, sql => opt("WITH $w AS " . pick('', '', opt('MATERIALIZED ')) . "($first->{sql}) ") . $body->{sql} };
}

sub query
{
	my ($rels, $depth) = @_;
	my $kind = rnd(100);
	return project($rels, $depth) if $kind < 26;
	return grouped($rels, $depth) if $kind < 56;
	return scalar_aggregate($rels, $depth) if $kind < 60;
	return distinct($rels, $depth) if $kind < 70;
	return windowed($rels, $depth) if $kind < 79;
	return limited($rels, $depth) if $kind < 83;
	return recursive($rels) if $kind < 84;
	return project($rels, $depth) if $depth <= 0;
	return set_operation($rels, $depth) if $kind < 93;
	return with($rels, $depth);
}

1;
