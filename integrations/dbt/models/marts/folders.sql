select
    workspace,
    site_url,
    search_type,
    as_of,
    days,
    {{ first_path_segment('url') }} as folder,
    sum(clicks) as clicks,
    sum(impressions) as impressions,
    {{ ctr() }} as ctr,
    {{ average_position('sum(sum_position)') }} as position
from {{ ref('stg_url_impression') }}
inner join {{ ref('stg_window_days') }} using (workspace, site_url, search_type, data_date)
where url <> ''
group by 1, 2, 3, 4, 5, 6
