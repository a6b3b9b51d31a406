SELECT day, count(*) AS n, sum(amount) AS s, min(amount) AS lowest, max(amount) AS highest FROM b.orders GROUP BY day
