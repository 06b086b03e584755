with pairs as (
    select
        now.workspace,
        now.site_url,
        now.search_type,
        now.as_of,
        now.data_date,
        before.data_date as data_date_before,
        count(*) over (partition by now.workspace, now.site_url, now.search_type) as days
    from {{ ref('stg_final_days') }} as now
    inner join {{ ref('stg_final_days') }} as before
        on
            now.workspace = before.workspace
            and now.site_url = before.site_url
            and now.search_type = before.search_type
            and now.data_date = {{ add_days('before.data_date', var('window_days')) }}
    where now.age < {{ var('window_days') }}
),

enough as (
    select * from pairs
    where days >= {{ var('compared_days_share') }} * {{ var('window_days') }}
)

select workspace, site_url, search_type, as_of, days, data_date, 'now' as period from enough
union all
select workspace, site_url, search_type, as_of, days, data_date_before, 'before' from enough
