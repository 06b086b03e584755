"""An S3 server on loopback that honours put-if-absent, in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import boto3

from gsc_pipeline_tests.waiting import HANG_SECONDS

REGION = "us-east-1"
KEY = "made-up"


class Counts(NamedTuple):
    """Requests, puts under a condition (commits, tried once each), and how many of those were refused."""

    requests: int
    conditional: int
    refused: int


@dataclass(frozen=True)
class BucketServer:
    """A running S3 server with one bucket, `lake`, whose content ends with the process."""

    url: str
    process: subprocess.Popen[str]

    @property
    def uri(self) -> str:
        """The bucket's URI."""
        return "s3://lake"

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables with which the project reaches the server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": KEY,
        }

    def client(self) -> Any:
        """A boto3 client of the server."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=KEY,
            aws_secret_access_key=KEY,
        )

    def keys(self, prefix: str = "") -> list[str]:
        """The keys of all objects in the bucket that begin with `prefix`."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", ())]

    def counts(self) -> Counts:
        """The requests since the server's start."""
        assert self.process.stdout is not None
        self._ask("count")
        return Counts(*map(int, self.process.stdout.readline().split()))

    def read(self, key: str) -> bytes:
        """The content of an object."""
        content: bytes = self.client().get_object(Bucket="lake", Key=key)["Body"].read()
        return content

    def content_type(self, key: str) -> str:
        """The content type of an object."""
        return str(self.client().head_object(Bucket="lake", Key=key)["ContentType"])

    def upload(self, folder: Path, prefix: str) -> str:
        """Put every file of a folder into the bucket, oldest first; returns the URI of the copy."""
        client = self.client()
        files = [path for path in folder.rglob("*") if path.is_file()]
        for file in sorted(files, key=lambda path: path.stat().st_mtime_ns):
            key = f"{prefix}/{file.relative_to(folder).as_posix()}"
            client.put_object(Bucket="lake", Key=key, Body=file.read_bytes())
        return f"{self.uri}/{prefix}"

    def answer_503(self, seconds: float) -> None:
        """Answer every request with 503 for so long."""
        self._ask(f"answer {seconds} 503")

    def delay(self, seconds: float, *, by: float) -> None:
        """Answer every request `by` seconds late, for so long."""
        self._ask(f"delay {seconds} {by}")

    @contextmanager
    def gone(self) -> Iterator[None]:
        """While the block runs, the server accepts connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def _ask(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()


@contextmanager
def serving_bucket(*, is_safe: bool = True) -> Iterator[BucketServer]:
    """Serve until the block ends. A server that is not safe ignores put-if-absent, as some products do."""
    command = [sys.executable, "-m", "gsc_pipeline_tests.cluster.bucket_server"]
    if not is_safe:
        command.append("unsafe")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        server = BucketServer(process.stdout.readline().strip(), process)
        assert server.url.startswith("http://"), "the S3 server did not start"
        try:
            server.client().create_bucket(Bucket="lake")
            yield server
        finally:
            process.send_signal(signal.SIGCONT)
            process.communicate(timeout=HANG_SECONDS)
