"""Runs an assistant's SQL over the rows of the served workspaces, and over nothing else.

DuckDB opens no file: each view is over an Arrow dataset that has the files and rows of the served workspaces
alone, so there is no relation with other rows, whatever name the SQL uses. Each request has a connection of
its own, over the newest state of the lake.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake.exceptions import TableNotFoundError

from gsc_pipeline.assistants.messages import (
    CallError,
    Limits,
    Reply,
    Request,
    Result,
    ResultColumn,
    Start,
    Statement,
)
from gsc_pipeline.assistants.statements import the_select
from gsc_pipeline.assistants.values import Values
from gsc_pipeline.lake.lake import Lake, LakeError
from gsc_pipeline.lake.schemas import PROPERTIES, TableSpec
from gsc_pipeline.lake.sql import connect, mistake_in_sql
from gsc_pipeline.text.printing import escaped
from gsc_pipeline.text.secrets import masked

log = logging.getLogger(__name__)

_LONGEST_ERROR = 500
_LONGEST_NAME = 200
"""Characters of the name of a column, and of its type."""

_OF_THE_SQL = (
    duckdb.ParserException,
    duckdb.SyntaxException,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.PermissionException,
    duckdb.NotImplementedException,
)
"""Errors found before a row is read: their texts quote the SQL alone. Others may quote rows."""


class Sandbox:
    """Answers requests over the rows of the workspaces of `start`."""

    def __init__(self, start: Start) -> None:
        self._limits = start.limits
        self._lake = Lake(start.lake)
        self._workspaces = list(start.workspaces)
        self._properties = start.properties
        self._datasets: dict[TableSpec, tuple[tuple[object, int], ds.Dataset]] = {}

    def answer(self, request: Request) -> Reply:
        """The results of all statements, or the error of the first that fails."""
        try:
            with self.connected() as connection, _interrupted_after(self._limits.seconds, connection):
                return Reply(tuple(_run(connection, one, self._limits) for one in request.statements))
        except CallError as error:
            return Reply(error=str(error))
        except duckdb.InterruptException:
            return Reply(
                error=f"stopped after {self._limits.seconds:g} seconds: select fewer months or columns, "
                "aggregate first, or use compare or insight"
            )
        except (duckdb.OutOfMemoryException, MemoryError, pa.ArrowMemoryError):
            return Reply(
                error=f"stopped at {self._limits.megabytes} MB of memory: aggregate, or select fewer rows"
            )
        except duckdb.ConversionException:
            return Reply(error="a value cannot be converted to that type: use TRY_CAST, which gives null")
        except (LakeError, OSError, pa.ArrowException, duckdb.IOException) as error:
            log.error("the lake cannot be read: %s", escaped(masked(str(error))))
            return Reply(error="the lake cannot be read: whoever runs it should run gsc verify")
        except duckdb.Error as error:
            return Reply(error=f"the query failed while it ran ({type(error).__name__})")
        except (ArithmeticError, ValueError) as error:
            # Python has no value for it, such as an interval of five million years.
            log.info("a value cannot be shown: %s", type(error).__name__)
            return Reply(error="a value has no form in the answer: cast it to VARCHAR")

    @contextmanager
    def connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A new connection over the newest state of the lake, locked."""
        connection = connect(self._lake, rows=self._rows, config=_config(self._limits))
        try:
            yield connection
        finally:
            connection.close()

    def _rows(self, table: TableSpec) -> ds.Dataset | None:
        """The rows of the served workspaces in the newest version of the table."""
        try:
            delta = self._lake.open(table)
        except TableNotFoundError:
            return None
        version = delta.metadata().id, delta.version()
        known = self._datasets.get(table)
        if known is None or known[0] != version:
            served = pc.field("workspace").isin(pa.array(self._workspaces, pa.string()))
            if table.schema.field("workspace").nullable:
                # Rows without a workspace are about all, unless they name a property, which is somebody's.
                dataset = self._lake.dataset(table)
                served |= pc.field("workspace").is_null() & pc.field("site_url").is_null()
            else:
                dataset = self._lake.dataset(table, workspace=self._workspaces)
            if table is PROPERTIES:
                # A credential that several workspaces share sees the properties of all.
                for workspace, names in self._properties.items():
                    is_named = pc.field("site_url").isin(pa.array(names, pa.string()))
                    served &= (pc.field("workspace") != workspace) | is_named
            if dataset is None:
                return None
            # Its files have no other rows. This holds even if a file was put into the wrong folder.
            known = version, dataset.filter(served)
            self._datasets[table] = known
        return known[1]


def _config(limits: Limits) -> dict[str, str | int]:
    return {
        "memory_limit": f"{limits.megabytes}MB",
        "threads": limits.threads,
        # Without a folder for temporary files: by default SQL may read and write in it.
        "temp_directory": "",
        "max_temp_directory_size": "0KiB",
        # By default these show the user's home, and HTTP_PROXY with its password.
        "secret_directory": "none",
        "http_proxy": "none",
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
    }


@contextmanager
def _interrupted_after(seconds: float, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Interrupt the connection's query after so many seconds, and any query that begins later."""
    has_ended = threading.Event()

    def interrupt() -> None:
        # An interrupt between two queries has no effect.
        while not has_ended.wait(0.1):
            connection.interrupt()

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        has_ended.set()
        timer.cancel()
        timer.join()


def _run(connection: duckdb.DuckDBPyConnection, statement: Statement, limits: Limits) -> Result:
    try:
        select = the_select(connection, statement.sql)
        # Errors of planning quote the SQL alone, those of running perhaps rows.
        connection.execute(f"EXPLAIN {select}")
    except _OF_THE_SQL as error:
        text = mistake_in_sql(str(error), tables="describe_tables", columns="describe_tables")
        raise CallError(masked(text)[:_LONGEST_ERROR]) from None
    result = connection.execute(statement.sql)
    if len(result.description) > limits.columns:
        count = len(result.description)
        raise CallError(f"the result has {count} columns: expected at most {limits.columns}")
    columns = tuple(
        ResultColumn(str(one[0])[:_LONGEST_NAME], str(one[1])[:_LONGEST_NAME]) for one in result.description
    )
    values = Values(limits)
    rows, has_more = values.rows(iter(result.fetchone, None), statement.rows)
    return Result(columns, rows, has_more, values.cut)
