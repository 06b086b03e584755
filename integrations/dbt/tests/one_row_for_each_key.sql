-- No model counts a day, query or page twice. Returns the keys with more than one row.
{% set keys = {
    'daily_performance': 'data_date', 'queries': 'query', 'pages': 'url', 'query_pages': 'query, url',
    'countries': 'country', 'devices': 'device', 'folders': 'folder', 'cannibalisation': 'query, url',
    'winners_and_losers': 'dimension, item'
} %}
{% for model, key in keys.items() %}
select '{{ model }}' as model, count(*) as found
from {{ ref(model) }}
group by workspace, site_url, search_type, {{ key }}
having count(*) > 1
{% if not loop.last %}union all{% endif %}
{% endfor %}
