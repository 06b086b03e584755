"""The script that most people write: Google's client, a loop over the days, pandas, Parquet."""

from __future__ import annotations

import json
import sys
from datetime import date, timedelta

import pandas as pd
from google.oauth2 import service_account
from googleapiclient.discovery import build

DIMENSIONS = ["date", "query", "page", "country", "device"]
SCOPES = ["https://www.googleapis.com/auth/webmasters.readonly"]
PAGE_ROWS = 25_000


def main() -> None:
    """Fetch the job's days into one Parquet file."""
    job = json.loads(sys.argv[1])
    credentials = service_account.Credentials.from_service_account_file(job["key"], scopes=SCOPES)
    options = {"api_endpoint": job["url"]}
    service = build("searchconsole", "v1", credentials=credentials, client_options=options)
    rows = []
    day, end = date.fromisoformat(job["start"]), date.fromisoformat(job["end"])
    while day < end:
        start_row = 0
        while True:
            body = {
                "startDate": str(day),
                "endDate": str(day),
                "dimensions": DIMENSIONS,
                "dataState": "all",
                "rowLimit": PAGE_ROWS,
                "startRow": start_row,
            }
            answer = service.searchanalytics().query(siteUrl=job["site"], body=body).execute()
            page = answer.get("rows", [])
            rows.extend(page)
            if len(page) < PAGE_ROWS:
                break
            start_row += PAGE_ROWS
        day += timedelta(days=1)
    frame = pd.DataFrame(rows)
    frame[DIMENSIONS] = pd.DataFrame(frame["keys"].tolist(), index=frame.index)
    frame.drop(columns="keys").to_parquet(f"{job['folder']}/table.parquet")
    print(json.dumps({"rows": len(frame)}))  # noqa: T201


if __name__ == "__main__":
    main()
