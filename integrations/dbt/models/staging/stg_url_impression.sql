select
    {{ workspace_column() }} as workspace,
    site_url,
    search_type,
    data_date,
    url,
    query,
    is_anonymized_query,
    {{ is_truncated_column() }} as is_truncated,
    country,
    device,
    clicks,
    impressions,
    sum_position
from {{ source('searchconsole', 'searchdata_url_impression') }}
