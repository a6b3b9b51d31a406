{# The join that finds the version of an enterprise on a date of the fact #}
{% macro join_enterprise(day) %}
LEFT JOIN {{ ref('dim_entreprise') }} e
    ON e.entreprise_id = f.entreprise_id AND e.valid_from <= f.{{ day }} AND f.{{ day }} < coalesce(e.valid_to, 'infinity')
{% endmacro %}

{% macro join_date(alias, day) %}
LEFT JOIN {{ ref('dim_date') }} {{ alias }} ON {{ alias }}.date = f.{{ day }}
{% endmacro %}
