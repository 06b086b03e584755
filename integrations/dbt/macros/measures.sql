{# Ratios and positions, computed from sums, never from averages. #}

{# clicks / impressions, from 0 to 1; null without impressions. #}
{% macro ctr(clicks='sum(clicks)', impressions='sum(impressions)') -%}
{{ clicks }} / nullif({{ impressions }}, 0)
{%- endmacro %}

{# The average position, starting at 1, from zero-based sums; null without impressions and for feeds. #}
{% macro average_position(sum_position, impressions='sum(impressions)') -%}
{{ sum_position }} / nullif({{ impressions }}, 0) + 1
{%- endmacro %}

{# The sums of one item in two windows. #}
{% macro sums_by_period(sum_position) -%}
sum(case when period = 'before' then clicks else 0 end) as clicks_before,
sum(case when period = 'now' then clicks else 0 end) as clicks,
sum(case when period = 'before' then impressions else 0 end) as impressions_before,
sum(case when period = 'now' then impressions else 0 end) as impressions,
sum(case when period = 'before' then {{ sum_position }} end) as sum_position_before,
sum(case when period = 'now' then {{ sum_position }} end) as sum_position
{%- endmacro %}
