"""The report for clients: one HTML file per workspace, which needs no network."""
