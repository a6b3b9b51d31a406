package Refresh::Case;
# Case: makes a case (tables, views, models, rounds of changes) and runs one, with the oracle after every refresh.
#
# A case is its steps. Nothing is made up while it runs, so steps and parts of them can be left out and it runs again.
use strict;
use warnings;
use utf8;
use Exporter 'import';
use Refresh::Rand;
use Refresh::Tables;
use Refresh::Query;
use Refresh::Changes;
our @EXPORT = qw(make_case run_case prelude check_sql sql_of);

my @prelude = ('CREATE SCHEMA src', 'CREATE SCHEMA fz', "CREATE TYPE src.mood AS ENUM ('low', 'mid', 'high')", 'CREATE TYPE src.pair AS (x integer, label text)',
	"CREATE COLLATION src.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
	"CREATE FUNCTION src.wrap(t text) RETURNS text LANGUAGE sql IMMUTABLE AS \$\$ SELECT '<' || t || '>' \$\$",
	'CREATE FUNCTION src.refresh(models text) RETURNS TABLE (model text, action text, status text, inserted bigint, updated bigint, deleted bigint) LANGUAGE plpgsql AS $$ BEGIN '
		. 'RETURN QUERY SELECT r.model, r.action, r.status, r.inserted, r.updated, r.deleted FROM strata.refresh(models) AS r; END $$');
sub prelude { return @prelude }

# ---- making ----

sub make_case
{
	my ($weights) = @_;
	my ($tables, $made) = make_tables(2 + rnd(4));
	# whatever it costs, or as it comes
	my $cost = chance(65) ? 0 : chance(50) ? 1000 : undef;
	my @steps = defined $cost ? map { { t => 'set', sql => "SET strata.incremental_full_cost = $cost", on => $_ } } undef, 'b' : ();
	push @steps, map { { t => 'setup', sql => $_ } } @$made;
	my @bases = map { { name => $_->{name}, cols => $_->{cols}, est => $_->{est}, key => $_->{key} } } @$tables;
	my (@models, @over_models);

	reset_aliases();
	reset_changes();
	for my $n (1 .. (chance(35) ? 1 + rnd(2) : 0))
	{
		my $q = query(\@bases, 1);
		push @steps, { t => 'view', name => "src.v$n", sql => "CREATE VIEW src.v$n AS $q->{sql}" };
		push @bases, { name => "src.v$n", cols => $q->{cols}, est => $q->{est}, needs => ["src.v$n"] };
	}
	my $falling = chance(50);
	for my $n (1 .. 2 + rnd(4))
	{
		# over tables and, up to four deep, over models
		my @under = grep { $_->{depth} < 4 } @models, (@over_models) x 2;
		my @rels = @under && chance(60) ? (@bases, (@under) x 2) : @bases;
		my ($q, $tries) = (undef, 0);
		do { $q = query(\@rels, 2) } while $q->{est} > 2000 && $tries++ < 5;
		my ($depth) = sort { $b <=> $a } 0, map { $_->{depth} } grep { index($q->{sql}, "$_->{name} ") >= 0 } @under;
		# names fall as often as they rise: what reads comes after what is read, whatever their names
		my $name = 'fz.m' . ($falling ? 6 - $n : $n);
		my $key = $q->{key} && chance(75) ? ", key => '{" . join(',', @{ $q->{key} }) . "}'" : '';
		my $kind = rnd(100);
		my $query = "\$q\$$q->{sql}\$q\$";
		my $sql = $kind < 78 ? "SELECT strata.define_mart('$name', $query$key)"
			: $kind < 92 ? "SELECT strata.define_staging('$name', $query, materialized => 'table'$key)"
			: "SELECT strata.define_staging('$name', $query)";
		push @steps, { t => 'model', name => $name, sql => $sql, view => $kind >= 92 };
		push @models, { name => $name, sql => $sql, view => $kind >= 92, cols => $q->{cols}, est => $q->{est}, key => $key ? $q->{key} : undef, depth => $depth + 1 };
		# a view of a user's over it, or over a view of that kind, which others read as they read models
		for my $over (grep { chance(35) } $models[-1], $over_models[-1] // ())
		{
			my $columns = join(', ', map { "a1.$_->[0]" } @{ $over->{cols} });
			my $view = 'fz.v' . (@over_models + 1);
			push @steps, { t => 'view', name => $view, sql => "CREATE VIEW $view AS SELECT $columns FROM $over->{name} AS a1" };
			push @over_models, { name => $view, cols => $over->{cols}, est => $over->{est}, depth => $over->{depth} };
		}
	}
	my @names = map { $_->{name} } @models;
	my @twins = chance($weights->{dimensions}) ? make_twins([ @bases, grep { !$_->{view} } @models ]) : ();
	push @steps, @twins;
	# over them, and over that: their names stand before the facts' or after
	my @over = map { { name => $_->{name}, cols => $_->{cols}, est => 60 } } grep { $_->{name} && !$_->{full} } @twins;
	my $letter = pick('a', 'm');
	for my $n (8, 9)
	{
		last unless @over && chance(70);
		my $q = query([ (@over) x 3, @bases ], 1);
		push @steps, { t => 'model', name => "fz.$letter$n", sql => "SELECT strata.define_mart('fz.$letter$n', \$q\$$q->{sql}\$q\$" . ($q->{key} ? ", key => '{" . join(',', @{ $q->{key} }) . "}'" : '') . ')' };
		push @names, "fz.$letter$n";
		push @over, ({ name => "fz.$letter$n", cols => $q->{cols}, est => $q->{est} }) x 2 if $q->{est} < 200;
	}
	# every row of a dimension counts here, the members that a fact infers too
	for my $d (grep { $_->{name} =~ /^fz\.d/ } @over)
	{
		next unless chance(50);
		my ($key) = map { $_->[0] } @{ $d->{cols} };
		my $name = $d->{name} =~ s/d(\d)$/${letter}d$1/r;
		push @steps, { t => 'model', name => $name, sql => "SELECT strata.define_mart('$name', \$q\$SELECT a1.is_current AS c1, count(*) AS c2, max(a1.$key) AS c3 FROM $d->{name} AS a1 GROUP BY a1.is_current\$q\$)" };
		push @names, $name;
	}
	push @steps, { t => 'refresh', of => '*' };
	push @steps, { t => 'set', sql => "CREATE INDEX ON $_ (c1)" } for grep { chance(8) } @names;
	# a model that the others' refreshes leave out, so that its changes wait beside theirs; nothing reads it
	my ($slow) = !@twins && @models > 1 && chance($weights->{slow}) ? $models[-1]{name} : ();
	my $all = $slow ? join(' ', grep { $_ ne $slow } @names) : '*';
	# more than a page of changes
	push @steps, map { { t => 'dml', sql => "UPDATE $_->{name} SET k = k" } } (grep { $_->{shape} ne 'composite' } @$tables) x 8 if $slow;
	my $refresh = sub {
		if (@twins)
		{
			my $one = pick((map { $_->{name} . ($_->{twin} ? " $_->{twin}" : '') } grep { $_->{name} && !$_->{full} } @twins), @names);
			return { t => 'refresh', of => chance(65) ? '*' : $one, rebuild => chance(3) };
		}
		my $kind = rnd(100);
		my $one = pick(@names);
		my $of = $kind < 62 ? $all : $kind < 77 ? $one : $kind < 90 ? "+$one" : $kind < 94 ? "$one+" : join(' ', $one, grep { chance(60) } @names);
		return { t => 'refresh', of => $of, rebuild => chance(2), how => chance(90) ? '' : pick('record', 'plpgsql') };
	};
	push @steps, round($tables, $refresh, $weights, \@models) for 1 .. 4 + rnd(6);
	push @steps, { t => 'refresh', of => '*' };
	push @steps, { t => 'plan', sql => "SELECT * FROM strata.explain_refresh('$_')" } for grep { $weights->{explain} && chance(20) } @names;
	push @steps, { t => 'verify', sql => 'SELECT model, status, message FROM strata.verify()' } if chance(25);
	if (@twins)
	{
		@steps = grep { $_->{t} ne 'plan' } @steps;
		# run times go forward, past the dates that facts may have
		my $day = 0;
		for (grep { $_->{t} eq 'refresh' } @steps) { $day += pick(1, 13, 29) if chance(85); $_->{day} = $day }
	}
	return \@steps;
}

# Dimensions and facts have no query that says what they hold. Each is defined twice, the second time to be computed in full, and a
# fact's dimensions likewise; both are refreshed together and must agree in all but the numbers of the surrogate keys.
sub make_twins
{
	my ($rels) = @_;
	my (@steps, @dimensions);

	for my $n (1 .. 1 + rnd(2))
	{
		my $q;
		for (1 .. 20) { $q = query($rels, 1); last if $q->{key} }
		next unless $q->{key} && @{ $q->{cols} } > @{ $q->{key} };
		my %key = map { $_ => 1 } @{ $q->{key} };
		my @rest = grep { !$key{ $_->[0] } } @{ $q->{cols} };
		my $sql = $q->{sql};
		my @options = ("key => '{" . join(',', @{ $q->{key} }) . "}'");
		my ($from) = grep { $_->[1] =~ /^(date|ts|tz)$/ } @rest;
		if ($from && chance(50))
		{
			$sql = "SELECT * FROM ($sql) AS dated WHERE isfinite($from->[0])";
			@rest = grep { $_ != $from } @rest;
			push @options, "effective_from => '$from->[0]'";
		}
		else { $from = undef }
		my @history = grep { chance(60) } @rest;
		my @fixed = grep { my $c = $_; chance(20) && !grep { $_ == $c } @history } @rest;
		push @options, "history => '{" . join(',', map { $_->[0] } @history) . "}'" if @history;
		push @options, "fixed => '{" . join(',', map { $_->[0] } @fixed) . "}'" if @fixed;
		push @options, "deletes => '" . pick('close', 'mark') . "'" if chance(60) && !$from;
		my $name = "fz.d$n";
		my @columns = (map { $_->[0] } grep { !$from || $_ != $from } @{ $q->{cols} });
		my $show = 'SELECT ROW(' . join(', ', @columns, qw(valid_from valid_to is_current)) . ')::text';
		for my $full ('', 'f')
		{
			push @steps, { t => 'model', name => "$name$full", full => $full, twin => $full ? undef : "${name}f", cols => [ [ "d${n}_key", 'big' ], [ 'is_current', 'bool' ], map { my $c = $_; grep { $c eq $_->[0] } @{ $q->{cols} } } @columns ], show => "$show FROM $name$full",
				sql => "SELECT strata.define_dimension('$name$full', \$q\$$sql\$q\$, " . join(', ', @options, $full ? "refresh => 'full'" : ()) . ')' };
		}
		my %tag = map { $_->[0] => $_->[1] } @{ $q->{cols} };
		push @dimensions, { name => $name, number => $n, key => $q->{key}[0], tag => $tag{ $q->{key}[0] } } if @{ $q->{key} } == 1;
	}
	push @steps, make_staging($rels) if chance(50);
	return @steps unless @dimensions && chance(75);
	push @steps, make_fact($_, $rels, @dimensions) for 1 .. (chance(40) ? 2 : 1);
	return @steps;
}

sub make_fact
{
	my ($number, $rels, @dimensions) = @_;
	my ($q, @on);
	for (1 .. 30)
	{
		$q = query($rels, 1);
		next unless $q->{key};
		@on = ();
		my $n = 0;
		for my $d (@dimensions)
		{
			my ($c) = grep { $_->[1] eq $d->{tag} } shuffled(@{ $q->{cols} });
			push @on, [ $d, $c->[0], "k$d->{number}" ] if $c;
			# in another role, too
			($c) = grep { $_->[1] eq $d->{tag} } shuffled(@{ $q->{cols} });
			push @on, [ $d, $c->[0], "r$d->{number}" ] if $c && chance(30);
		}
		last if @on;
	}
	return unless $q->{key} && @on;
	my ($date) = grep { $_->[1] =~ /^(date|ts|tz)$/ } @{ $q->{cols} };
	my @more = map { (chance(50) && $date ? ", \"as_of\": \"$date->[0]\"" : '') . (chance(50) ? ', "missing": "infer"' : '') . (chance(25) ? ', "early": "' . pick('first', 'unknown') . '"' : '') } @on;
	my $partition = $date && chance(30) ? ", partition_by => '$date->[0]', partition_unit => 'year', partitions_ahead => 1" : '';
	my ($day) = grep { $_->[1] eq 'date' } @{ $q->{cols} };
	my $days = $day && chance(50) ? ", \"dk\": {\"dimension\": \"fz.dd\", \"on\": {\"$day->[0]\": \"date\"}}" : '';
	# a key of a dimension may stand in the grain
	my $grain = join ',', @{ $q->{key} }, chance(20) ? $on[0][2] : ();
	my @steps = $days ? { t => 'set', sql => "SELECT strata.define_date_dimension('fz.dd', '2023-12-01', '2024-03-01')" } : ();
	for my $full ('', 'f')
	{
		my $n = 0;
		my $dimensions = join ', ', map { "\"$_->[2]\": {\"dimension\": \"$_->[0]{name}$full\", \"on\": {\"$_->[1]\": \"$_->[0]{key}\"}" . $more[ $n++ ] . '}' } @on;
		my $show = 'SELECT ROW(' . join(', ', (map { "t.$_->[0]" } @{ $q->{cols} }),
			map { "(SELECT ROW(d.$_->[0]{key}, d.valid_from) FROM $_->[0]{name}$full AS d WHERE d.d$_->[0]{number}${full}_key = t.$_->[2])" } @on) . ($days ? ', t.dk' : '') . ')::text';
		push @steps, { t => 'model', name => "fz.f$number$full", full => $full, twin => $full ? undef : "fz.f${number}f", cols => [ @{ $q->{cols} }, map { [ $_->[2], 'big' ] } @on ], show => "$show FROM fz.f$number$full AS t",
			sql => "SELECT strata.define_fact('fz.f$number$full', \$q\$$q->{sql}\$q\$, grain => '{$grain}', dimensions => '{$dimensions$days}'$partition" . ($full ? ", refresh => 'full'" : '') . ')' };
	}
	return @steps;
}

# Staging with rules: what it holds and what it refused are twins, too.
sub make_staging
{
	my ($rels) = @_;
	my $q = query($rels, chance(30) ? 2 : 1);
	my $n = 0;
	my @rules = map { my ($name, $tag) = @$_; my $rule = $tag =~ /^(small|int|big|num)$/ && chance(60) ? "$name < 3" : $tag eq 'text' && chance(60) ? "length($name) < 3" : "$name IS NOT NULL"; '"rule ' . ++$n . "\": \"$rule\"" } (shuffled(@{ $q->{cols} }))[ 0 .. (@{ $q->{cols} } > 1 ? rnd(2) : 0) ];
	my $key = $q->{key} && chance(50) ? ", key => '{" . join(',', @{ $q->{key} }) . "}'" : '';
	return map {
		my ($name, $full) = ("fz.s1$_", $_);
		{ t => 'model', name => $name, full => $full, twin => $full ? undef : 'fz.s1f', cols => $q->{cols},
			show => "SELECT t::text FROM $name AS t UNION ALL SELECT reason || ' ' || source_row FROM ${name}__rejected",
			sql => "SELECT strata.define_staging('$name', \$q\$$q->{sql}\$q\$, materialized => 'table', rules => '{" . join(', ', @rules) . "}'$key" . ($full ? ", refresh => 'full'" : '') . ')' }
	} '', 'f';
}

# ---- running ----

sub query_of { my ($step) = @_; my ($query) = plain($step->{sql}) =~ /\$q\$(.*)\$q\$/s; return $query }

sub sql_of
{
	my ($step) = @_;
	return plain($step->{sql}) if defined $step->{sql};
	return "SELECT * FROM src.refresh('$step->{of}')" if ($step->{how} // '') eq 'plpgsql';
	return "SELECT model, action, status, inserted, updated, deleted" . ($step->{how} ? ', message' : '') . " FROM strata.refresh('$step->{of}'" . ($step->{rebuild} ? ', full_rebuild => true' : '') . ($step->{how} ? ", on_error => 'record'" : '')
		. (defined $step->{day} ? ", as_of => timestamptz '2023-12-25 00:00+00' + interval '$step->{day} days', confirm_shrink => true" : '') . ')';
}

# what shows a difference, for the script
sub check_sql
{
	my ($name, $query) = @_;
	return "SELECT 'missing' AS what, a FROM (SELECT q::text FROM ($query) AS q EXCEPT ALL SELECT t::text FROM $name AS t) AS x (a)\n"
		. "UNION ALL\nSELECT 'too many', a FROM (SELECT t::text FROM $name AS t EXCEPT ALL SELECT q::text FROM ($query) AS q) AS x (a)";
}

# place => row, and the storage's number
sub contents
{
	my ($db, $name) = @_;
	my ($error, @rows) = $db->run("SELECT 'storage', pg_relation_filenode('$name')::text UNION ALL SELECT t.tableoid || ':' || t.ctid, t::text FROM $name AS t");
	return { error => $error } if defined $error;
	my %rows = map { split /\x1f/, $_, 2 } @rows;
	return { storage => delete $rows{storage}, rows => \%rows };
}

sub bag { my %bag; $bag{$_}++ for @_; return \%bag }

# the rows of one bag that the other lacks
sub surplus
{
	my ($x, $y) = @_;
	return map { my $n = $x->{$_} - ($y->{$_} // 0); $n > 0 ? ($_) x $n : () } sort keys %$x;
}

sub show { my @rows = @_; my $n = @rows; @rows = map { length > 300 ? substr($_, 0, 300) . '...' : $_ } @rows; return join('', map { "    $_\n" } @rows[ 0 .. ($n > 5 ? 4 : $n - 1) ]) . ($n > 5 ? "    ... $n in all\n" : '') }

# Runs a step that is no refresh; returns what failed, or undef. state: models by name, places before, per session whether it
# is in a transaction and whether that is aborted.
sub run_change
{
	my ($step, $db, $state, $count) = @_;
	my $own = $state->{ $step->{on} // 'a' };
	my $sql = sql_of($step);

	return if $own->{aborted} && $step->{t} ne 'tx';
	my ($error, @rows) = $db->run($sql);
	if (defined $error)
	{
		return { kind => 'crash', text => "$error\n" } if $error =~ /^lost/;
		$count->{errors}{"$step->{t} " . substr($error, 0, 5)}++;
		push @{ $count->{said} }, "$error\n  $sql\n" if $ENV{FUZZ_VERBOSE} && $error !~ /^25P02/;
		return { kind => 'error', text => "$error\n" . $db->last_errors } if $error =~ /^XX/ || $step->{t} =~ /^(plan|verify)$/ && $error !~ /^40001/;
		$own->{aborted} = 1 if $own->{in};
	}
	elsif ($step->{t} eq 'model') { $state->{models}{ $step->{name} } = $step; $count->{models}++ }
	elsif ($step->{t} eq 'drop') { delete $state->{models}{ $step->{name} }; delete $state->{before}{ $step->{name} } }
	elsif ($step->{t} eq 'hand') { $state->{edited}{ $step->{name} } = 1 }
	elsif ($step->{t} eq 'verify')
	{
		# the oracle has just found them equal
		my ($wrong) = grep { /\x1f(diverged|stale|error)\x1f/ } @rows;
		return { kind => 'verify', text => join(' ', split /\x1f/, $wrong) . "\n" } if defined $wrong && !%{ $state->{edited} };
	}
	elsif ($sql =~ /^UPDATE/) { $state->{updated} = 1 }
	# rows may stand elsewhere
	$state->{before} = {} if $step->{t} =~ /^(model|hand|drop|set)$/;
	if ($step->{t} eq 'tx')
	{
		$state->{before} = {} if $sql =~ /^ROLLBACK/ || $own->{aborted} || defined $error;
		$own->{in} = 1 if $sql =~ /^BEGIN/;
		$own->{in} = 0 if $sql =~ /^(COMMIT$|ROLLBACK$|PREPARE)/;
		$own->{aborted} = 0 if !$own->{in} || ($sql =~ /^ROLLBACK TO/ && !defined $error);
	}
	return;
}

# an error of a refresh: what failed, or undef when it is not the refresh's
sub refresh_error
{
	my ($error, $sql, $db, $state, $own, $count) = @_;
	return { kind => 'crash', text => "$error\n" } if $error =~ /^lost/;
	my $text = "$error\n" . $db->last_errors;
	if ($error =~ /^40001/ && $own->{in})
	{
		$count->{errors}{'refresh 40001'}++;
		$own->{aborted} = 1;
		return;
	}
	$db->run('ROLLBACK') if $own->{in};
	# a view of a user's is never touched: a source's column has another type, and the model's cannot follow
	if ($error =~ /^2BP01.*views stand on them/)
	{
		$count->{errors}{'refresh 2BP01'}++;
		return { kind => 'end' };
	}
	# a query that fails by itself is not what is looked for
	for my $model (values %{ $state->{models} })
	{
		my ($alone) = $db->run('SELECT count(q::text) FROM (' . query_of($model) . ') AS q');
		next unless defined $alone && substr($alone, 0, 5) eq substr($error, 0, 5);
		$count->{errors}{ "query " . substr($alone, 0, 5) }++;
		push @{ $count->{said} }, "$alone\n  $model->{sql}\n" if $ENV{FUZZ_VERBOSE};
		return { kind => 'end' };
	}
	return { kind => 'error', text => $text };
}

# Runs the steps; returns what failed, or undef. The two are connections, count gathers figures.
sub run_case
{
	my ($steps, $main_db, $side_db, $count, $sabotage) = @_;
	my %state = (models => {}, before => {}, edited => {}, a => {}, b => {});

	for my $i (0 .. $#$steps)
	{
		my $step = $steps->[$i];
		my $db = $step->{on} ? $side_db : $main_db;
		my $failure = $step->{t} eq 'refresh' ? run_refresh($step, $db, \%state, $count, $sabotage) : run_change($step, $db, \%state, $count);
		next unless $failure;
		return if $failure->{kind} eq 'end';
		return { %$failure, step => $i };
	}
	return;
}

# a refresh and what must hold after it
sub run_refresh
{
	my ($step, $db, $state, $count, $sabotage) = @_;
	my $own = $state->{ $step->{on} // 'a' };
	my $models = $state->{models};
	my $sql = sql_of($step);

	return if $own->{aborted} || !%$models || grep { !$models->{$_} } $step->{of} =~ /(fz\.\w+)/g;
	# a model that reads what was changed by hand is computed with it only
	return if %{ $state->{edited} } && $step->{of} ne '*';
	$state->{edited} = {};
	for my $name (grep { !$models->{$_}{view} } keys %$models) { $state->{before}{$name} //= contents($db, $name) }
	my ($error, @rows) = $db->run($sql);
	return refresh_error($error, $sql, $db, $state, $own, $count) if defined $error;
	for (@rows)
	{
		my ($name, $action, $status, $inserted, $updated, $deleted, $message) = split /\x1f/, $_, -1;
		my $model = $models->{$name} or next;
		return { kind => 'error', model => $name, text => "$name: $status: $message\n" } if $status =~ /fail/;
		$count->{refreshes}++;
		$count->{actions}{$action}++;
		next if $model->{view};
		$db->run("DELETE FROM $name WHERE ctid = (SELECT min(ctid) FROM $name)") if $sabotage && $state->{updated} && !$step->{rebuild} && $model->{sql} =~ /GROUP BY/;
		my $now = contents($db, $name);
		return { kind => 'error', model => $name, text => "$now->{error}\n" } if defined $now->{error};
		my $before = $state->{before}{$name};
		my $wrong = ($model->{show} ? undef : compare($model, $action, $db, $now)) // compare_places($name, $action, $before, $now)
			// ($step->{rebuild} || $model->{show} ? undef : compare_counts($name, $action, $before, $now, $inserted, $deleted));
		return { %$wrong, model => $name } if $wrong;
		$state->{before}{$name} = $now;
	}
	$state->{updated} = 0;
	return compare_twins($models, $db, map { (split /\x1f/)[0] } @rows);
}

sub compare_twins
{
	my ($models, $db, @names) = @_;
	for my $name (grep { $models->{$_} && $models->{$_}{twin} && $models->{ $models->{$_}{twin} } } @names)
	{
		my ($one, $other) = map { my ($error, @rows) = $db->run($_->{show}); return { kind => 'error', model => $name, text => "$error\n$_->{show}\n" } if defined $error; bag(@rows) } @$models{ $name, $models->{$name}{twin} };
		my @missing = surplus($other, $one);
		my @extra = surplus($one, $other);
		next unless @missing || @extra;
		my ($show, $twin) = ($models->{$name}{show}, $models->{ $models->{$name}{twin} }{show});
		return { kind => 'differs', model => $name, check => "SELECT 'missing' AS what, a FROM (($twin) EXCEPT ALL ($show)) AS x (a)\nUNION ALL\nSELECT 'too many', a FROM (($show) EXCEPT ALL ($twin)) AS x (a)",
			text => "$name is not what $models->{$name}{twin} is: " . @missing . " rows missing, " . @extra . " too many\n" . (@missing ? "  missing:\n" . show(@missing) : '') . (@extra ? "  too many:\n" . show(@extra) : '') };
	}
	return;
}

# the target against its query
sub compare
{
	my ($model, $action, $db, $now) = @_;
	my $query = query_of($model);
	my ($error, @result) = $db->run("SELECT q::text FROM ($query) AS q");
	return { kind => 'error', text => "the query itself: $error\n" } if defined $error;
	my ($want, $have) = (bag(@result), bag(values %{ $now->{rows} }));
	my @missing = surplus($want, $have);
	my @extra = surplus($have, $want);
	return unless @missing || @extra;
	return { kind => 'differs', query => $query,
		text => "$model->{name} ($action) is not what its query gives: " . @missing . " rows missing, " . @extra . " too many\n" . (@missing ? "  missing:\n" . show(@missing) : '') . (@extra ? "  too many:\n" . show(@extra) : '') };
}

# as many rows as both have stay in their places
sub compare_places
{
	my ($name, $action, $old, $now) = @_;
	return if ($old->{storage} // '') ne ($now->{storage} // '');
	my ($was, $is) = ($old->{rows}, $now->{rows});
	my ($then, $have) = (bag(values %$was), bag(values %$is));
	my ($common, $kept) = (0, 0);
	for (keys %$have) { my $n = $then->{$_} // 0; $common += $n < $have->{$_} ? $n : $have->{$_} }
	for (keys %$is) { $kept++ if exists $was->{$_} && $was->{$_} eq $is->{$_} }
	return if $kept >= $common;
	return { kind => 'moved', text => "$name ($action): " . ($common - $kept) . " unchanged rows moved\n" };
}

sub compare_counts
{
	my ($name, $action, $old, $now, $inserted, $deleted) = @_;
	my ($was, $is) = (scalar keys %{ $old->{rows} }, scalar keys %{ $now->{rows} });
	return if $inserted eq '' || $was + $inserted - $deleted == $is;
	return { kind => 'counts', text => "$name ($action): from $was rows, $inserted inserted and $deleted deleted, to $is\n" };
}

1;
