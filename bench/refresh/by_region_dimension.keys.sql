CREATE TEMP TABLE k ON COMMIT DROP AS
SELECT DISTINCT c.region, p.category
  FROM b.changed_customer AS c JOIN b.orders AS o ON o.customer = c.id JOIN b.product AS p ON p.id = o.product;
ANALYZE k;
DELETE FROM b.keys AS t USING k WHERE t.region = k.region AND t.category = k.category;
INSERT INTO b.keys
SELECT c.region, p.category, count(*), sum(o.amount)
  FROM b.orders AS o JOIN b.customer AS c ON c.id = o.customer JOIN b.product AS p ON p.id = o.product
 WHERE (c.region, p.category) IN (SELECT region, category FROM k)
 GROUP BY c.region, p.category;
