"""State that all processes of an installation share: a few rows in SQLite or PostgreSQL.

Holds no search data and no credentials. The modules that use a table define what its rows mean.
"""
