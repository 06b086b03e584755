"""How fast the server is: the requests of the floor, whose answers are discarded."""

from __future__ import annotations

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from urllib.parse import urlsplit

DIMENSIONS = ["date", "query", "page", "country", "device"]
CONNECTIONS = 4
TIMES = 10
BUFFER = 1 << 20


def drain(url: str, days: list[date]) -> None:
    """Request the first page of each day, one after another, over one connection."""
    target = urlsplit(url)
    buffer = bytearray(BUFFER)
    with socket.create_connection((target.hostname, target.port)) as connection:
        for day in days:
            body = {"startDate": str(day), "endDate": str(day), "dimensions": DIMENSIONS, "rowLimit": 25_000}
            payload = json.dumps(body).encode()
            head = "POST /webmasters/v3/sites/x/searchAnalytics/query HTTP/1.1\r\nHost: x\r\nContent-Length: "
            connection.sendall(f"{head}{len(payload)}\r\n\r\n".encode() + payload)
            received = connection.recv_into(buffer)
            answer_head, _, start = bytes(buffer[:received]).partition(b"\r\n\r\n")
            left = int(answer_head.lower().partition(b"content-length:")[2].split(b"\r")[0]) - len(start)
            while left > 0:
                left -= connection.recv_into(buffer, min(left, BUFFER))


def main() -> None:
    """Request the job's days several times."""
    job = json.loads(sys.argv[1])
    start, end = date.fromisoformat(job["start"]), date.fromisoformat(job["end"])
    days = [start + timedelta(days=n) for n in range((end - start).days)] * TIMES
    with ThreadPoolExecutor(CONNECTIONS) as executor:
        shares = [days[n::CONNECTIONS] for n in range(CONNECTIONS)]
        list(executor.map(lambda share: drain(job["url"], share), shares))


if __name__ == "__main__":
    main()
