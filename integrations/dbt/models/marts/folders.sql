{{ last_window('stg_url_impression', 'folder', 'sum_position', expression=first_path_segment('url'), condition="url <> ''") }}
