with shares as (
    select
        *,
        sum(clicks) over of_query as query_clicks,
        sum(impressions) over of_query as query_impressions,
        clicks / nullif(sum(clicks) over of_query, 0) as click_share,
        impressions / nullif(sum(impressions) over of_query, 0) as impression_share
    from {{ ref('query_pages') }}
    window of_query as (partition by workspace, site_url, search_type, query)
),

concentrated as (
    select
        *,
        sum(impression_share * impression_share)
            over (partition by workspace, site_url, search_type, query) as hhi
    from shares
),

sharing as (
    select
        *,
        count(*) over (partition by workspace, site_url, search_type, query) as pages
    from concentrated
    where
        query_clicks >= {{ var('cannibalisation_clicks') }}
        and click_share >= {{ var('cannibalisation_share') }}
)

select
    workspace,
    site_url,
    search_type,
    as_of,
    days,
    query,
    url,
    clicks,
    impressions,
    position,
    query_clicks,
    query_impressions,
    click_share,
    impression_share,
    hhi,
    pages
from sharing
where pages >= 2
