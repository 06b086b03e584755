select
    workspace,
    site_url,
    search_type,
    as_of,
    days,
    query,
    sum(clicks) as clicks,
    sum(impressions) as impressions,
    {{ ctr() }} as ctr,
    {{ average_position('sum(sum_top_position)') }} as position
from {{ ref('stg_site_impression') }}
inner join {{ ref('stg_window_days') }} using (workspace, site_url, search_type, data_date)
where query <> ''
group by 1, 2, 3, 4, 5, 6
