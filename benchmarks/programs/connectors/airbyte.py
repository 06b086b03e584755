"""The Airbyte source with its stream of all fields; records go to standard output as JSON lines.

It requests four search types. The server has rows of one.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import date, timedelta
from pathlib import Path

from benchmarks.programs.connectors.redirect import redirect_requests

STREAM = "search_analytics_all_fields"


def main() -> None:
    """Read the job's days."""
    job = json.loads(sys.argv[1])
    folder = Path(job["folder"])
    redirect_requests(job["url"])
    from source_google_search_console.run import run

    config = {
        "site_urls": [job["site"]],
        "start_date": job["start"],
        "end_date": str(date.fromisoformat(job["end"]) - timedelta(days=1)),
        "data_state": "all",
        "authorization": {
            "auth_type": "Service",
            "service_account_info": Path(job["key"]).read_text(encoding="utf-8"),
            "email": "reader@example.com",
        },
    }
    stream = {
        "stream": {"name": STREAM, "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
        "sync_mode": "full_refresh",
        "destination_sync_mode": "append",
    }
    for name, document in (("config", config), ("catalog", {"streams": [stream]})):
        (folder / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    sys.argv = ["source", "read", "--config", f"{folder}/config.json", "--catalog", f"{folder}/catalog.json"]
    output = os.open(folder / "records.jsonl", os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    run()


if __name__ == "__main__":
    main()
