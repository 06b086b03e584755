-- Months are the sums of their days. Returns the months that are not.
with of_days as (
    select
        workspace,
        site_url,
        search_type,
        cast({{ dbt.date_trunc('month', 'data_date') }} as date) as month,
        sum(clicks) as clicks,
        sum(impressions) as impressions
    from {{ ref('daily_performance') }}
    group by 1, 2, 3, 4
)

select *
from of_days
inner join {{ ref('monthly_performance') }} as months using (workspace, site_url, search_type, month)
where of_days.clicks <> months.clicks or of_days.impressions <> months.impressions
