{{ last_window('stg_url_impression', 'url', 'sum_position', condition="url <> ''") }}
