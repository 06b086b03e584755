{# What DuckDB and BigQuery write differently. #}

{# The workspace of a row: a column of the lake; in Google's own export, which has none, a constant. #}
{% macro workspace_column() %}{{ return(adapter.dispatch('workspace_column', 'gsc_pipeline')()) }}{% endmacro %}
{% macro duckdb__workspace_column() %}workspace{% endmacro %}
{% macro bigquery__workspace_column() %}'{{ var("gsc_workspace") }}'{% endmacro %}

{# Whether the API cut off rows of the residual; the export has every row. #}
{% macro is_truncated_column() %}{{ return(adapter.dispatch('is_truncated_column', 'gsc_pipeline')()) }}{% endmacro %}
{% macro duckdb__is_truncated_column() %}coalesce(is_truncated, false){% endmacro %}
{% macro bigquery__is_truncated_column() %}false{% endmacro %}

{# The condition that a row `rows_of` of the site table belongs to a row `log` of ExportLog. #}
{% macro same_property(log, rows_of) %}{{ return(adapter.dispatch('same_property', 'gsc_pipeline')(log, rows_of)) }}{% endmacro %}
{% macro duckdb__same_property(log, rows_of) %}{{ log }}.workspace = {{ rows_of }}.workspace and {{ log }}.site_url = {{ rows_of }}.site_url{% endmacro %}
{# A dataset of the export is of one property, so its ExportLog names none. #}
{% macro bigquery__same_property(log, rows_of) %}true{% endmacro %}

{# The first segment of a URL's path, with its slash: /blog for https://acme.com/blog/post; / for the home page. #}
{% macro first_path_segment(url) %}{{ return(adapter.dispatch('first_path_segment', 'gsc_pipeline')(url)) }}{% endmacro %}
{% macro duckdb__first_path_segment(url) %}coalesce(nullif(regexp_extract({{ url }}, '^[a-z]+://[^/?#]*(/[^/?#]*)', 1), ''), '/'){% endmacro %}
{% macro bigquery__first_path_segment(url) %}coalesce(regexp_extract({{ url }}, r'^[a-z]+://[^/?#]*(/[^/?#]*)'), '/'){% endmacro %}

{# The day of the week, from 1 (Monday) to 7 (Sunday). #}
{% macro iso_weekday(day) %}{{ return(adapter.dispatch('iso_weekday', 'gsc_pipeline')(day)) }}{% endmacro %}
{% macro duckdb__iso_weekday(day) %}isodow({{ day }}){% endmacro %}
{% macro bigquery__iso_weekday(day) %}mod(extract(dayofweek from {{ day }}) + 5, 7) + 1{% endmacro %}

{# A day, and whole days between two. #}
{% macro add_days(day, days) %}{{ return(adapter.dispatch('add_days', 'gsc_pipeline')(day, days)) }}{% endmacro %}
{% macro duckdb__add_days(day, days) %}({{ day }} + ({{ days }})::integer){% endmacro %}
{% macro bigquery__add_days(day, days) %}date_add({{ day }}, interval ({{ days }}) day){% endmacro %}
{% macro days_between(first, last) %}{{ return(adapter.dispatch('days_between', 'gsc_pipeline')(first, last)) }}{% endmacro %}
{% macro duckdb__days_between(first, last) %}({{ last }} - {{ first }}){% endmacro %}
{% macro bigquery__days_between(first, last) %}date_diff({{ last }}, {{ first }}, day){% endmacro %}
