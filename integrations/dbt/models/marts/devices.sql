{{ last_window('stg_site_impression', 'device', 'sum_top_position', condition='device is not null') }}
