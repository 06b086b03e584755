"""How DuckDB reads a lake in a bucket itself: its extensions, a secret without credentials, its views."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gsc_pipeline.lake.errors import LakeError
from gsc_pipeline.lake.parquet_source import sql_text

if TYPE_CHECKING:
    import duckdb

EXTENSIONS = ("delta", "httpfs", "aws")
"""DuckDB's extensions for Delta tables, for S3, and for the credentials of S3."""

INSTALL = "; ".join(f"INSTALL {name}" for name in EXTENSIONS)
"""The statements that download them, once for each version of DuckDB and user."""


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """The access of a DuckDB connection to a lake in a bucket."""

    uri: str
    secret: str

    @classmethod
    def to(cls, uri: str, environment: Mapping[str, str] = os.environ) -> BucketAccess:
        """The access to a lake under `s3://`, with the region and the server of the variables.

        The secret names no key: DuckDB finds the credentials where AWS's programs find them. Raises
        LakeError for other stores.
        """
        if not uri.startswith("s3://"):
            raise LakeError(
                f"{uri}: DuckDB's own access is supported for a folder and for s3:// only: use gsc query"
            )
        options = ["TYPE s3", "PROVIDER credential_chain", f"SCOPE {sql_text(uri)}"]
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
        if region:
            options.append(f"REGION {sql_text(region)}")
        server = urlsplit(environment.get("AWS_ENDPOINT_URL") or environment.get("AWS_ENDPOINT") or "")
        if server.hostname:
            # Without user and password, which an address may have.
            options += [f"ENDPOINT {sql_text(server.netloc.rpartition('@')[2])}", "URL_STYLE 'path'"]
            options.append(f"USE_SSL {str(server.scheme != 'http').lower()}")
        return cls(uri, f"CREATE OR REPLACE TEMPORARY SECRET gsc_lake ({', '.join(options)})")

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Load the extensions and create the secret. Raises LakeError if an extension is not installed."""
        import duckdb

        # Otherwise LOAD downloads: nothing is fetched from the internet unasked.
        connection.execute("SET autoinstall_known_extensions = false")
        for name in EXTENSIONS:
            try:
                connection.execute(f"LOAD {name}")
            except duckdb.Error:
                raise LakeError(
                    f"DuckDB {duckdb.__version__} cannot read {self.uri} without its extensions "
                    f"{', '.join(EXTENSIONS)}, and {name} is not installed: run {INSTALL} in that version of "
                    "DuckDB once, or use gsc query, which needs none"
                ) from None
        connection.execute(self.secret)

    def source(self, table: str) -> str:
        """The SQL source of a table's rows, as they are in its newest version."""
        return f"delta_scan({sql_text(f'{self.uri}/{table}')})"
