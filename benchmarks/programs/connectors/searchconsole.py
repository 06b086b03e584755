"""searchconsole, one day at a time as its documentation advises; the rows stay in memory."""

from __future__ import annotations

import json
import sys
from datetime import date, timedelta

from benchmarks.programs.connectors.redirect import redirect_httplib2, redirect_requests

DIMENSIONS = ("date", "query", "page", "country", "device")


def main() -> None:
    """Read the job's days."""
    job = json.loads(sys.argv[1])
    redirect_requests(job["url"])
    redirect_httplib2(job["url"])
    import searchconsole

    account = searchconsole.authenticate(service_account=job["key"])
    day, end, rows = date.fromisoformat(job["start"]), date.fromisoformat(job["end"]), 0
    while day < end:
        rows += len(account[job["site"]].query.range(str(day), str(day)).dimension(*DIMENSIONS).get())
        day += timedelta(days=1)
    print(json.dumps({"rows": rows}))  # noqa: T201


if __name__ == "__main__":
    main()
