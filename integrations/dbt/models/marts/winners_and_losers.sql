with queries as (
    select
        workspace,
        site_url,
        search_type,
        as_of,
        days,
        query as item,
        {{ sums_by_period('sum_top_position') }}
    from {{ ref('stg_site_impression') }}
    inner join {{ ref('stg_compared_days') }} using (workspace, site_url, search_type, data_date)
    where query <> ''
    group by 1, 2, 3, 4, 5, 6
),

pages as (
    select
        workspace,
        site_url,
        search_type,
        as_of,
        days,
        url as item,
        {{ sums_by_period('sum_position') }}
    from {{ ref('stg_url_impression') }}
    inner join {{ ref('stg_compared_days') }} using (workspace, site_url, search_type, data_date)
    where url <> ''
    group by 1, 2, 3, 4, 5, 6
),

items as (
    select 'query' as dimension, * from queries
    union all
    select 'page' as dimension, * from pages
),

judged as (
    select
        *,
        clicks - clicks_before as change,
        case
            when impressions_before = 0 and impressions >= {{ var('change_impressions') }} then 'new'
            when impressions = 0 and impressions_before >= {{ var('change_impressions') }} then 'lost'
            when
                least(impressions_before, impressions) >= {{ var('change_impressions') }}
                and abs(clicks - clicks_before) >= {{ var('change_share') }} * clicks_before
                -- Beyond the chance of two equal Poisson counts.
                and abs(clicks - clicks_before)
                    >= {{ var('significance') }} * sqrt(greatest(clicks + clicks_before, 1))
                then case when clicks > clicks_before then 'winner' else 'loser' end
        end as kind
    from items
)

select
    workspace,
    site_url,
    search_type,
    as_of,
    days,
    dimension,
    item,
    kind,
    clicks_before,
    clicks,
    change,
    {{ ctr('change', 'clicks_before') }} as change_share,
    impressions_before,
    impressions,
    {{ average_position('sum_position_before', 'impressions_before') }} as position_before,
    {{ average_position('sum_position', 'impressions') }} as position
from judged
where kind is not null and (kind in ('new', 'lost') or change <> 0)
