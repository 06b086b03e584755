{{ last_window('stg_site_impression', 'weekday', 'sum_top_position', expression=iso_weekday('data_date')) }}
