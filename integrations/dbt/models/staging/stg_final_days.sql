with series as (
    select
        {{ workspace_column() }} as workspace,
        site_url,
        search_type
    from {{ source('searchconsole', 'searchdata_site_impression') }}
    where impressions > 0
    group by 1, 2, 3
),

final_days as (
    select distinct
        series.workspace,
        series.site_url,
        series.search_type,
        log.data_date
    from {{ source('searchconsole', 'ExportLog') }} as log
    inner join series on {{ same_property('log', 'series') }}
    where log.namespace = 'SEARCHDATA_SITE_IMPRESSION'
),

ended as (
    select
        *,
        max(data_date) over (partition by workspace, site_url, search_type) as as_of,
        max(data_date) over (partition by workspace) as newest
    from final_days
)

select
    workspace,
    site_url,
    search_type,
    data_date,
    as_of,
    {{ days_between('data_date', 'as_of') }} as age
from ended
where {{ days_between('as_of', 'newest') }} < {{ var('window_days') }}
