# table: what refresh.sh's sessions printed -> a table on standard error, and a line per cell on standard output.
#
#   # QUERY SHARE ROUND       a round begins
#   @ SIDE                    what is timed from here on is that side's
#   Time: N ms
#   ?|ACTION|MESSAGE          what pg_strata says it did
#   ! SIDE|N                  rows that differ from the query
#   %|QUERY|TARGET SIZE|RELATION|SIZE
function median(list,    v, n, i, j, x) {
	n = split(list, v, " ")
	if (n == 0) return ""
	for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) { x = v[j]; v[j] = v[j - 1]; v[j - 1] = x }
	return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}
function least(a, b) { return a < b ? a : b }
function speed(x) { return x == "" ? "-" : x >= 100 ? sprintf("%.0f", x) : x >= 10 ? sprintf("%.1f", x) : sprintf("%.2f", x) }
function ms(x) { return x >= 100 ? sprintf("%.0f", x) : sprintf("%.1f", x) }
# how many times quicker than REFRESH; what writes cost more counts where asked for, not below nothing, which would be noise
function ratios(cell, side, writes,    list, r, t) {
	for (r = 1; r <= rounds[cell]; r++) {
		t = writes == "" ? 0 : time[cell, r, writes] - time[cell, r, "write_plain"]
		t = (t < 0 ? 0 : t) + (side == "" ? 0 : time[cell, r, side])
		if (t > 0) list = list " " time[cell, r, "full"] / t
	}
	return median(list)
}
function times(cell, side,    list, r) {
	for (r = 1; r <= rounds[cell]; r++) list = list " " time[cell, r, side]
	return median(list)
}
function added(cell, side,    list, r) {
	for (r = 1; r <= rounds[cell]; r++) list = list " " (time[cell, r, side] - time[cell, r, "write_plain"])
	return median(list)
}
function against(cell, side,    list, r) {
	for (r = 1; r <= rounds[cell]; r++) list = list " " time[cell, r, side] / time[cell, r, "strata"]
	return median(list)
}
function row(    i) {
	for (i = 1; i <= NCELLS; i++) { shown[lines, i] = field[i]; if (length(field[i]) > width[i]) width[i] = length(field[i]) }
	lines++
}
/^# / {
	query = $2; round = $4
	cell = $2 " " $3
	if (!(cell in rounds)) { order[++cells] = cell; rounds[cell] = 0 }
	if (round > rounds[cell]) rounds[cell] = round
}
/^@ / { side = $2 }
/^Time: / { time[cell, round, side] += $2 }
/^\?\|/ { split($0, part, "|"); what[cell] = part[2] }
/^! / {
	split(substr($0, 3), part, "|")
	if (part[1] == "ivm") have_ivm = 1
	if (part[2] != 0) { print "refresh: " cell ": " part[1] " differs from the query by " part[2] " rows" >"/dev/stderr"; if (part[1] == "strata") failed = 1 }
}
/^%/ {
	split($0, part, "|")
	sizes[part[2]] = sizes[part[2]] (sizes[part[2]] == "" ? "target " part[3] : "") ", " part[4] " " part[5]
}
END {
	if (!cells) { print "refresh: nothing was measured" >"/dev/stderr"; exit 1 }
	lines = 0
	NCELLS = split("query|changed|REFRESH, ms|algebra by hand|keys by hand|pg_strata, ms|pg_strata|of the better|0.8|with capture|pg_ivm, writes counted|did", field, "|")
	row()
	for (i = 1; i <= cells; i++) {
		cell = order[i]
		split(cell, part, " ")
		best = times(cell, "algebra") <= times(cell, "keys") ? "algebra" : "keys"
		share = against(cell, best)
		own = ratios(cell, "strata")
		good = share >= 0.8 && own >= 1.0
		met += good
		field[1] = part[1]; field[2] = part[2] * 100 "%"
		field[3] = ms(times(cell, "full"))
		field[4] = speed(ratios(cell, "algebra")); field[5] = speed(ratios(cell, "keys"))
		field[6] = ms(times(cell, "strata")); field[7] = speed(own)
		field[8] = sprintf("%.2f", share); field[9] = good ? "met" : "NOT MET"
		field[10] = speed(ratios(cell, "strata", "write"))
		field[11] = have_ivm ? (added(cell, "write_ivm") > 0 ? speed(ratios(cell, "", "write_ivm")) " (+" ms(added(cell, "write_ivm")) " ms)" : "noise") : "-"
		field[12] = what[cell]
		row()
		name = part[1] "_" (rows >= 1000000 ? rows / 1000000 "m" : rows / 1000 "k") "_" part[2] * 100
		gsub(/[^a-z0-9_]/, "_", name)
		printf "refresh_%s ratio %.2f\n", name, 1 / share
	}
	for (l = 0; l < lines; l++) {
		text = "|"
		for (i = 1; i <= NCELLS; i++) text = text sprintf(i == 1 || i == NCELLS ? " %-*s |" : " %*s |", width[i], shown[l, i])
		print text >"/dev/stderr"
		if (l == 0) {
			gsub(/[^|]/, "-", text)
			print text >"/dev/stderr"
		}
	}
	printf "# %d rows; %d of %d cells met (at least 0.8 of the better rule by hand, and never slower than REFRESH)\n", rows, met, cells >"/dev/stderr"
	for (query in sizes) print "# " query ": " sizes[query] >"/dev/stderr"
	exit failed
}
