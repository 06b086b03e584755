"""The view ExportLog: the ledger in the form of the table of that name in Google's bulk data export."""

from __future__ import annotations

from gsc_pipeline.lake.schemas import REVISIONS, SYNC_LEDGER

NAME = "ExportLog"

DESCRIPTION = (
    "The days of each property that are complete in both tables: final or empty in every search type. "
    "The columns of ExportLog in Google's bulk data export, and two of the lake."
)

NEEDED = (SYNC_LEDGER, REVISIONS)
"""The tables that the view reads."""

SQL = f"""
    WITH versions AS (
        SELECT workspace, site_url, search_type, data_date, count(*) AS revisions
        FROM {REVISIONS.name} GROUP BY ALL
    ), days AS (
        SELECT workspace, site_url, data_date, max(last_read_at) AS publish_time,
               coalesce(max(revisions), 0)::BIGINT AS epoch_version
        FROM {SYNC_LEDGER.name} LEFT JOIN versions USING (workspace, site_url, search_type, data_date)
        GROUP BY ALL HAVING bool_and(status IN ('final', 'empty'))
    )
    SELECT 'SEARCHDATA' AS agenda, namespace, data_date, epoch_version, publish_time, workspace, site_url
    FROM days CROSS JOIN (
        VALUES ('SEARCHDATA_SITE_IMPRESSION'), ('SEARCHDATA_URL_IMPRESSION')
    ) AS tables (namespace)
"""
"""One row for each table of the export and day. As in the export, the first version of a day is 0."""
