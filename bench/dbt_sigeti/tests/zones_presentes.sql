SELECT 1 FROM (SELECT count(*) AS n FROM {{ ref('dim_zone') }}) t WHERE n < 2
