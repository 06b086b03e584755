select
    workspace,
    site_url,
    search_type,
    as_of,
    days,
    query,
    clicks,
    impressions,
    ctr,
    position
from {{ ref('queries') }}
where
    impressions >= {{ var('striking_impressions') }}
    and position between {{ var('striking_position_from') }} and {{ var('striking_position_to') }}
