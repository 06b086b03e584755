"""The process that runs assistants' queries: `python -m gsc_pipeline.assistants.query_process`.

A query can use more memory than DuckDB counts, or ignore an interruption in the middle of one value. Then
this process ends, and the server starts another one. It reads a Start and then Requests as JSON lines from
standard input, and writes READY and then a Reply to each request. It ends with its server, also in the
middle of a query.
"""

from __future__ import annotations

import logging
import os
import queue
import resource
import sys
import threading
from typing import BinaryIO

import msgspec

from gsc_pipeline.assistants.messages import Request, Start

READY = b'"ready"\n'

_INPUT_THREADS = 4


def main() -> None:
    """Answer requests until standard input ends."""
    # What a library prints must not get between the answers.
    wire = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    requests = sys.stdin.buffer
    start = msgspec.json.decode(requests.readline(), type=Start)
    _limit_process(start.limits.process_megabytes)
    # Loaded within the limits.
    import pyarrow as pa

    from gsc_pipeline.assistants.sandbox import Sandbox
    from gsc_pipeline.lake.arrow_process import prepare_arrow

    prepare_arrow()
    pa.set_cpu_count(start.limits.threads)
    pa.set_io_thread_count(_INPUT_THREADS)
    sandbox = Sandbox(start)
    wire.write(READY)
    wire.flush()
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, lines), name="requests", daemon=True).start()
    while True:
        line = lines.get()
        # The server ends this process at that time too, if it still runs.
        deadline = threading.Timer(start.limits.call_seconds, os._exit, [1])
        deadline.daemon = True
        deadline.start()
        answer = sandbox.answer(msgspec.json.decode(line, type=Request))
        wire.write(msgspec.json.encode(answer) + b"\n")
        wire.flush()
        deadline.cancel()


def _read(requests: BinaryIO, lines: queue.SimpleQueue[bytes]) -> None:
    """Hand on each request; end the process when there is no server any more, however that ended."""
    for line in requests:
        lines.put(line)
    os._exit(0)


def _limit_process(megabytes: int) -> None:
    """Limit the memory of this process, and let it write to no file."""
    memory = megabytes * 1024**2
    for what, most in (
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (allowed, allowed))


if __name__ == "__main__":
    main()
