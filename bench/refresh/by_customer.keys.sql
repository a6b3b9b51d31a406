CREATE TEMP TABLE k ON COMMIT DROP AS SELECT DISTINCT customer FROM b.changed_order;
ANALYZE k;
DELETE FROM b.keys AS t USING k WHERE t.customer = k.customer;
INSERT INTO b.keys
SELECT customer, count(*), sum(amount) FROM b.orders WHERE customer IN (SELECT customer FROM k) GROUP BY customer;
