CREATE TEMP TABLE d ON COMMIT DROP AS
SELECT customer, sum(sign) AS n, sum(sign * amount) AS s FROM b.changed_order GROUP BY customer;
ANALYZE d;
MERGE INTO b.algebra AS t USING d ON t.customer = d.customer
 WHEN MATCHED AND t.n + d.n = 0 THEN DELETE
 WHEN MATCHED THEN UPDATE SET n = t.n + d.n, s = t.s + d.s
 WHEN NOT MATCHED THEN INSERT VALUES (d.customer, d.n, d.s);
