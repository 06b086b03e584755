select
    workspace,
    site_url,
    search_type,
    cast({{ dbt.date_trunc('month', 'data_date') }} as date) as month,
    count(distinct data_date) as days,
    sum(clicks) as clicks,
    sum(impressions) as impressions,
    {{ ctr() }} as ctr,
    {{ average_position('sum(sum_top_position)') }} as position
from {{ ref('stg_site_impression') }}
inner join {{ ref('stg_final_days') }} using (workspace, site_url, search_type, data_date)
group by 1, 2, 3, 4
