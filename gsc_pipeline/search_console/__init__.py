"""The Search Console API: credentials, legal requests, answers as Arrow columns, errors, retries.

Knows nothing of the lake, of what is worth reading, or of Dagster.
"""
