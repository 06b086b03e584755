"""What all run processes of an installation share between calls: a few rows in SQLite or PostgreSQL.

Knows how to reach them and what tables there are; what the rows mean is told where they are used
(`search_console.limits`, `search_console.breaker`). No data of the lake, no credential.
"""
