{{ last_window('stg_site_impression', 'query', 'sum_top_position', condition="query <> ''") }}
