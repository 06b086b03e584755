"""The sync: decides which days to read, reads them, commits them to the lake, and reports.

Independent of Dagster, of the terminal and of schedules.
"""
