SELECT customer, count(*) AS n, sum(amount) AS s FROM b.orders GROUP BY customer
