SELECT c.region, p.category, count(*) AS n, sum(o.amount) AS s
  FROM b.orders AS o JOIN b.customer AS c ON c.id = o.customer JOIN b.product AS p ON p.id = o.product
 GROUP BY c.region, p.category
