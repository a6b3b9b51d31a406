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
our @EXPORT = qw(make_case run_case prelude check_sql);

my @prelude = ('CREATE SCHEMA src', 'CREATE SCHEMA fz', "CREATE TYPE src.mood AS ENUM ('low', 'mid', 'high')", 'CREATE TYPE src.pair AS (x integer, label text)',
	"CREATE COLLATION src.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
	"CREATE FUNCTION src.wrap(t text) RETURNS text LANGUAGE sql IMMUTABLE AS \$\$ SELECT '<' || t || '>' \$\$");
sub prelude { return @prelude }

# ---- making ----

sub make_case
{
	my ($weights) = @_;
	my ($tables, $made) = make_tables(2 + rnd(4));
	my @steps = map { { t => 'setup', sql => $_ } } @$made;
	my @bases = map { { name => $_->{name}, cols => $_->{cols}, est => $_->{est}, key => $_->{key} } } @$tables;
	my @models;

	reset_aliases();
	reset_changes();
	for my $n (1 .. (chance(35) ? 1 + rnd(2) : 0))
	{
		my $q = query(\@bases, 1);
		push @steps, { t => 'view', name => "src.v$n", sql => "CREATE VIEW src.v$n AS $q->{sql}" };
		push @bases, { name => "src.v$n", cols => $q->{cols}, est => $q->{est}, needs => ["src.v$n"] };
	}
	for my $n (1 .. 2 + rnd(4))
	{
		# over tables and, up to four deep, over models
		my @under = grep { $_->{depth} < 4 } @models;
		my @rels = @under && chance(60) ? (@bases, (@under) x 2) : @bases;
		my ($q, $tries) = (undef, 0);
		do { $q = query(\@rels, 2) } while $q->{est} > 2000 && $tries++ < 5;
		my ($depth) = sort { $b <=> $a } 0, map { $_->{depth} } grep { index($q->{sql}, "$_->{name} ") >= 0 } @under;
		my $name = "fz.m$n";
		my $key = $q->{key} && chance(75) ? ", key => '{" . join(',', @{ $q->{key} }) . "}'" : '';
		my $kind = rnd(100);
		my $query = "\$q\$$q->{sql}\$q\$";
		my $sql = $kind < 78 ? "SELECT strata.define_mart('$name', $query$key)"
			: $kind < 92 ? "SELECT strata.define_staging('$name', $query, materialized => 'table'$key)"
			: "SELECT strata.define_staging('$name', $query)";
		push @steps, { t => 'model', name => $name, sql => $sql, view => $kind >= 92 };
		push @models, { name => $name, cols => $q->{cols}, est => $q->{est}, key => $key ? $q->{key} : undef, depth => $depth + 1 };
	}
	my @names = map { $_->{name} } @models;
	push @steps, { t => 'refresh', of => '*' };
	push @steps, { t => 'set', sql => "CREATE INDEX ON $_ (c1)" } for grep { chance(8) } @names;
	my $refresh = sub {
		my $kind = rnd(100);
		my $one = pick(@names);
		my $of = $kind < 62 ? '*' : $kind < 77 ? $one : $kind < 90 ? "+$one" : $kind < 95 ? "$one+" : join(' ', $one, pick(@names));
		return { t => 'refresh', of => $of, rebuild => chance(2) };
	};
	push @steps, round($tables, $refresh, $weights) for 1 .. 4 + rnd(6);
	push @steps, { t => 'refresh', of => '*' };
	return \@steps;
}

# ---- running ----

sub query_of { my ($step) = @_; my ($query) = plain($step->{sql}) =~ /\$q\$(.*)\$q\$/s; return $query }

sub sql_of
{
	my ($step) = @_;
	return plain($step->{sql}) if defined $step->{sql};
	return "SELECT model, action, status, inserted, updated, deleted FROM strata.refresh('$step->{of}'" . ($step->{rebuild} ? ', full_rebuild => true' : '') . ')';
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

# Runs the steps; returns what failed, or undef. The two are connections, count gathers figures.
sub run_case
{
	my ($steps, $main_db, $side_db, $count, $sabotage) = @_;
	my (%models, %before);
	my ($in, $aborted, $updated) = (0, 0, 0);

	for my $i (0 .. $#$steps)
	{
		my $step = $steps->[$i];
		my $db = $step->{on} ? $side_db : $main_db;
		my $sql = sql_of($step);

		if ($step->{t} ne 'refresh')
		{
			next if $aborted && !$step->{on} && $step->{t} eq 'dml';
			my ($error) = $db->run($sql);
			return { kind => 'crash', step => $i, text => "$error\n" } if defined $error && $error =~ /^lost/;
			if (defined $error)
			{
				$count->{errors}{"$step->{t} " . substr($error, 0, 5)}++;
				push @{ $count->{said} }, "$error\n  $sql\n" if $ENV{FUZZ_VERBOSE} && $error !~ /^25P02/;
				return { kind => 'error', step => $i, text => "$error\n" } if $error =~ /^XX/;
				$aborted = 1 if $in && !$step->{on};
			}
			elsif ($step->{t} eq 'model') { $models{ $step->{name} } = $step; $count->{models}++ }
			next if $step->{on};
			$updated = 1 if !defined $error && $sql =~ /^UPDATE/;
			if ($step->{t} eq 'tx')
			{
				# rows are back where they were
				%before = () if $sql =~ /^ROLLBACK/ || $aborted || defined $error;
				$in = 1 if $sql =~ /^BEGIN/;
				$in = 0 if $sql =~ /^(COMMIT|ROLLBACK$)/;
				$aborted = 0 if !$in || ($sql =~ /^ROLLBACK TO/ && !defined $error);
			}
			next;
		}

		next if $aborted;
		next if grep { !$models{$_} } $step->{of} =~ /(fz\.m\d+)/g;
		next unless %models;
		for my $name (grep { !$models{$_}{view} } keys %models) { $before{$name} //= contents($main_db, $name) }
		my ($error, @rows) = $main_db->run($sql);
		if (defined $error)
		{
			return { kind => 'crash', step => $i, text => "$error\n" } if $error =~ /^lost/;
			my $text = "$error\n" . $main_db->last_errors;
			$main_db->run('ROLLBACK') if $in;
			# a query that fails by itself is not what is looked for
			for my $name (keys %models)
			{
				my ($own) = $main_db->run('SELECT count(q::text) FROM (' . query_of($models{$name}) . ') AS q');
				if (defined $own && substr($own, 0, 5) eq substr($error, 0, 5)) { $count->{errors}{ "query " . substr($own, 0, 5) }++; push @{ $count->{said} }, "$own\n  $models{$name}{sql}\n" if $ENV{FUZZ_VERBOSE}; return }
			}
			return { kind => 'error', step => $i, text => $text };
		}
		for (@rows)
		{
			my ($name, $action, $status, $inserted, $updated_rows, $deleted) = split /\x1f/, $_, -1;
			my $model = $models{$name} or next;
			$count->{refreshes}++;
			$count->{actions}{$action}++;
			next if $model->{view};
			if ($sabotage && $updated && $sql !~ /full_rebuild/ && $model->{sql} =~ /GROUP BY/) { $main_db->run("DELETE FROM $name WHERE ctid = (SELECT min(ctid) FROM $name)") }
			my $query = query_of($model);
			my ($wrong, @result) = $main_db->run("SELECT q::text FROM ($query) AS q");
			return { kind => 'error', step => $i, model => $name, text => "the query itself: $wrong\n" } if defined $wrong;
			my $now = contents($main_db, $name);
			return { kind => 'error', step => $i, model => $name, text => "$now->{error}\n" } if defined $now->{error};
			my ($want, $have) = (bag(@result), bag(values %{ $now->{rows} }));
			my @missing = surplus($want, $have);
			my @extra = surplus($have, $want);
			my $tail = '';
			if (@missing || @extra)
			{
				return { kind => 'differs', step => $i, model => $name, query => $query,
					text => "$name ($action) is not what its query gives: " . @missing . " rows missing, " . @extra . " too many\n" . (@missing ? "  missing:\n" . show(@missing) : '') . (@extra ? "  too many:\n" . show(@extra) : '') };
			}
			my $old = $before{$name};
			my ($was, $is) = ($old->{rows}, $now->{rows});
			if (($old->{storage} // '') eq ($now->{storage} // ''))
			{
				# as many rows as both have stay in their places
				my $then = bag(values %$was);
				my ($common, $kept) = (0, 0);
				for (keys %$have) { my $n = $then->{$_} // 0; $common += $n < $have->{$_} ? $n : $have->{$_} }
				for (keys %$is) { $kept++ if exists $was->{$_} && $was->{$_} eq $is->{$_} }
				return { kind => 'moved', step => $i, model => $name, text => "$name ($action): " . ($common - $kept) . " unchanged rows moved\n" } if $kept < $common;
			}
			if (!$step->{rebuild} && $inserted ne '' && keys(%$was) + $inserted - $deleted != keys %$is)
			{
				return { kind => 'counts', step => $i, model => $name, text => "$name ($action): from " . keys(%$was) . " rows, $inserted inserted and $deleted deleted, to " . keys(%$is) . "\n" };
			}
			$before{$name} = $now;
		}
		$updated = 0;
	}
	return;
}

1;
