{# The totals of each item of a dimension in the last window of final days. #}
{% macro last_window(source, dimension, sum_position, expression=none, condition=none) -%}
select
    workspace,
    site_url,
    search_type,
    as_of,
    days,
    {{ expression or dimension }} as {{ dimension }},
    sum(clicks) as clicks,
    sum(impressions) as impressions,
    {{ ctr() }} as ctr,
    {{ average_position('sum(' ~ sum_position ~ ')') }} as position
from {{ ref(source) }}
inner join {{ ref('stg_window_days') }} using (workspace, site_url, search_type, data_date)
{%- if condition %}
where {{ condition }}
{%- endif %}
group by 1, 2, 3, 4, 5, 6
{%- endmacro %}
