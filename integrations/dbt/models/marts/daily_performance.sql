select
    workspace,
    site_url,
    search_type,
    data_date,
    sum(clicks) as clicks,
    sum(impressions) as impressions,
    {{ ctr() }} as ctr,
    {{ average_position('sum(sum_top_position)') }} as position,
    sum(case when is_anonymized_query and not is_truncated then clicks else 0 end) as anonymised_clicks,
    sum(case when is_anonymized_query and not is_truncated then impressions else 0 end) as anonymised_impressions,
    sum(case when is_truncated then clicks else 0 end) as truncated_clicks,
    sum(case when is_truncated then impressions else 0 end) as truncated_impressions
from {{ ref('stg_site_impression') }}
inner join {{ ref('stg_final_days') }} using (workspace, site_url, search_type, data_date)
group by 1, 2, 3, 4
