CREATE TEMP TABLE d ON COMMIT DROP AS
SELECT c.region, p.category, sum(c.sign) AS n, sum(c.sign * o.amount) AS s
  FROM b.changed_customer AS c JOIN b.orders AS o ON o.customer = c.id JOIN b.product AS p ON p.id = o.product
 GROUP BY c.region, p.category;
MERGE INTO b.algebra AS t USING d ON t.region = d.region AND t.category = d.category
 WHEN MATCHED AND t.n + d.n = 0 THEN DELETE
 WHEN MATCHED THEN UPDATE SET n = t.n + d.n, s = t.s + d.s
 WHEN NOT MATCHED THEN INSERT VALUES (d.region, d.category, d.n, d.s);
