{{ last_window('stg_site_impression', 'country', 'sum_top_position', condition='country is not null') }}
