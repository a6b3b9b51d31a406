-- counts and sums by algebra; an extremum too, unless a row that left may have been it: those days are computed again
CREATE TEMP TABLE d ON COMMIT DROP AS
SELECT day, sum(sign) AS n, sum(sign * amount) AS s,
       min(amount) FILTER (WHERE sign = 1) AS lowest, max(amount) FILTER (WHERE sign = 1) AS highest,
       min(amount) FILTER (WHERE sign = -1) AS left_lowest, max(amount) FILTER (WHERE sign = -1) AS left_highest
  FROM b.changed_order GROUP BY day;
ANALYZE d;
CREATE TEMP TABLE k ON COMMIT DROP AS
SELECT d.day FROM d JOIN b.algebra AS t USING (day) WHERE d.left_lowest <= t.lowest OR d.left_highest >= t.highest;
ANALYZE k;
DELETE FROM d USING k WHERE d.day = k.day;
DELETE FROM b.algebra AS t USING k WHERE t.day = k.day;
INSERT INTO b.algebra
SELECT day, count(*), sum(amount), min(amount), max(amount) FROM b.orders WHERE day IN (SELECT day FROM k) GROUP BY day;
MERGE INTO b.algebra AS t USING d ON t.day = d.day
 WHEN MATCHED AND t.n + d.n = 0 THEN DELETE
 WHEN MATCHED THEN UPDATE SET n = t.n + d.n, s = t.s + d.s, lowest = least(t.lowest, d.lowest), highest = greatest(t.highest, d.highest)
 WHEN NOT MATCHED THEN INSERT VALUES (d.day, d.n, d.s, d.lowest, d.highest);
