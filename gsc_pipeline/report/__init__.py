"""The report that a client gets: one HTML file per workspace, which needs no network to open.

Belongs here: what is shown, and how. Does not: the findings (`insights`), or reading from Google (`sync`).
"""
