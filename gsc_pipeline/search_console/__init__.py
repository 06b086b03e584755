"""A client of the Search Console API: credentials, requests, answers, errors, retries, limits, breakers."""
