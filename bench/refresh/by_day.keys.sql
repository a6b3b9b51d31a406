CREATE TEMP TABLE k ON COMMIT DROP AS SELECT DISTINCT day FROM b.changed_order;
ANALYZE k;
DELETE FROM b.keys AS t USING k WHERE t.day = k.day;
INSERT INTO b.keys
SELECT day, count(*), sum(amount), min(amount), max(amount) FROM b.orders WHERE day IN (SELECT day FROM k) GROUP BY day;
