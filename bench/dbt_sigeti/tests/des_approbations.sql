SELECT sum(nb_approuvees) AS approuvees FROM {{ ref('kpi_operationnels') }} HAVING sum(nb_approuvees) = 0
