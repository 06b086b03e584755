"""The shared state in PostgreSQL, for the processes of several machines.

Assumes that the machines' clocks agree to about a second, as with NTP.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from typing_extensions import override

from gsc_pipeline.state.store import Row, StateError, Store
from gsc_pipeline.state.tables import TABLES

CONNECT_SECONDS = 10

_VALUE = re.compile(r":(\w+)")
_CREATE_TABLES_LOCK = 4_727_001
"""The advisory lock for creating tables: two processes that create the same table at once would fail."""


class PostgresStore(Store):
    """The store in the database at a `postgresql://` URL.

    With `reads_only`, a table that does not exist reads as empty.
    """

    # Long enough for a restart of the server.
    waits: Sequence[float] = (0.2, 0.5, 1.0, 2.0, 4.0)

    def __init__(self, url: str, sleep: Callable[[float], None], *, reads_only: bool) -> None:
        super().__init__(sleep, reads_only=reads_only)
        if reads_only:
            # Without retries: a reader shows whether the server answers now.
            self.waits = ()
        self._url = url

    @override
    def _execute(self, sql: str, **values: object) -> list[Row]:
        if self._connection is None:
            self._connection = self._open()
        with self._connection.cursor() as cursor:
            cursor.execute(_VALUE.sub(r"%(\1)s", sql), values)
            return cursor.fetchall() if cursor.description else []

    def _open(self) -> Any:
        import psycopg2

        connection = psycopg2.connect(
            self._url, connect_timeout=CONNECT_SECONDS, application_name="gsc_pipeline"
        )
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                # A crash of the server may lose the last transactions. That is acceptable here.
                cursor.execute("SET synchronous_commit TO off")
                if self._reads_only:
                    for name, columns in _missing_tables(cursor).items():
                        cursor.execute(f"CREATE TEMP TABLE {name} ({columns})")
                    cursor.execute("SET default_transaction_read_only TO on")
                else:
                    _create_tables(cursor)
        except psycopg2.Error:
            connection.close()
            raise
        return connection

    @override
    def _errors(self) -> tuple[type[Exception], ...]:
        import psycopg2

        return (psycopg2.Error,)

    @override
    def _is_connection_broken(self, error: Exception) -> bool:
        import psycopg2

        # Too many clients, a server that starts or stops, and a lost connection all raise these.
        return isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)

    @override
    def _as_state_error(self, error: Exception) -> StateError:
        cause = without_secrets(" ".join(str(error).split()), self._url)
        parts = urlsplit(self._url)
        where = f"{parts.hostname or 'the local socket'}{parts.path}"
        return StateError(
            f"the shared state in PostgreSQL at {where} cannot be used ({cause}): "
            "check GSC_STATE and that the server is running"
        )


def _create_tables(cursor: Any) -> None:
    """Create missing tables. Looks first, so that a role that may not create tables can use existing ones."""
    missing = _missing_tables(cursor)
    if not missing:
        return
    cursor.execute("BEGIN")
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_CREATE_TABLES_LOCK,))
    for name, columns in missing.items():
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
    cursor.execute("COMMIT")


def _missing_tables(cursor: Any) -> dict[str, str]:
    """The columns of each table that does not exist, by its name."""
    missing = {}
    for name, columns in TABLES.items():
        cursor.execute("SELECT to_regclass(%s)", (name,))
        if cursor.fetchone() == (None,):
            missing[name] = columns
    return missing


def without_secrets(text: str, url: str) -> str:
    """`text` with the passwords of the URL masked, both as written and URL-decoded."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    secrets = {parts.password or "", *query.get("password", ()), *query.get("sslpassword", ())}
    for secret in sorted({one for s in secrets if s for one in (s, unquote(s))}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
