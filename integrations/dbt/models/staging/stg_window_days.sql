with days as (
    select
        *,
        count(*) over (partition by workspace, site_url, search_type) as days
    from {{ ref('stg_final_days') }}
    where age < {{ var('window_days') }}
),

history as (
    select
        workspace,
        site_url,
        search_type,
        max(age) + 1 as days_known
    from {{ ref('stg_final_days') }}
    group by 1, 2, 3
)

select
    workspace,
    site_url,
    search_type,
    days.data_date,
    days.as_of,
    days.days
from days
inner join history using (workspace, site_url, search_type)
where days.days >= {{ var('compared_days_share') }} * least(history.days_known, {{ var('window_days') }})
