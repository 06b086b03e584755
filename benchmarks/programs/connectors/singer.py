"""The Singer tap with its custom report by all five dimensions; records go to a file as JSON lines.

Its last day is today, of which the server has no rows.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

from benchmarks.programs.connectors.redirect import redirect_requests

STREAM = "performance_report_custom"
DIMENSIONS = {"date", "query", "page", "country", "device"}


def main() -> None:
    """Read the job's days."""
    job = json.loads(sys.argv[1])
    folder = Path(job["folder"])
    redirect_requests(job["url"])
    import tap_google_search_console as tap
    from tap_google_search_console.discover import get_schemas

    config = {
        "client_id": "id",
        "client_secret": "secret",
        "refresh_token": "token",
        "user_agent": "benchmark",
        "site_urls": job["site"],
        "start_date": f"{job['start']}T00:00:00Z",
    }
    schemas, metadata = get_schemas()
    for entry in metadata[STREAM]:
        if not entry["breadcrumb"] or entry["breadcrumb"][-1] in DIMENSIONS:
            entry["metadata"]["selected"] = True
    stream = {
        "stream": STREAM,
        "tap_stream_id": STREAM,
        "schema": schemas[STREAM],
        "metadata": metadata[STREAM],
    }
    for name, document in (("config", config), ("catalog", {"streams": [stream]})):
        (folder / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    sys.argv = ["tap", "--config", str(folder / "config.json"), "--catalog", str(folder / "catalog.json")]
    with (folder / "records.jsonl").open("w", encoding="utf-8") as output, redirect_stdout(output):
        tap.main()


if __name__ == "__main__":
    main()
