"""A clock that a test drives, and that whole processes go by: Dagster's daemon, its runs, the pipeline.

Dagster asks two functions for the time, which are there to be replaced by tests, and stamps what happens in
a run as the logging library does; the pipeline asks the clock that it is given. Pauses and time-outs stay
real. A minute of this clock lasts a second: it is always in a minute's last two seconds, so that the
scheduler, which sleeps until a minute is over, looks at it every two real seconds at least.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster._time as dagster_time

VARIABLE = "GSC_TEST_CLOCK"
"""Names the file with the seconds that the clock is ahead of the machine's."""
A_SECOND, A_MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def followed() -> datetime:
    """What the clock shows in a process that goes by it."""
    return datetime.fromtimestamp(time.time() + _seconds_ahead(), UTC)


def follow() -> None:
    """Make Dagster in this process go by the clock that the environment names."""
    dagster_time._mockable_get_current_timestamp = lambda: followed().timestamp()
    dagster_time._mockable_get_current_datetime = followed
    make_record = logging.getLogRecordFactory()

    def stamped(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make_record(*args, **kwargs)
        record.created = followed().timestamp()
        return record

    logging.setLogRecordFactory(stamped)


def _seconds_ahead() -> float:
    return float(Path(os.environ[VARIABLE]).read_text(encoding="ascii"))


class FastClock:
    """The clock as its test holds it. `runs` is an SQLite database that stamps new runs by itself."""

    def __init__(self, file: Path, start: datetime, runs: Path) -> None:
        self._file = file
        self._runs = runs
        with closing(sqlite3.connect(runs)) as database, database:
            database.executescript(
                "CREATE TABLE test_clock (ahead REAL);"
                "INSERT INTO test_clock VALUES (0);"
                "CREATE TRIGGER by_test_clock AFTER INSERT ON runs BEGIN UPDATE runs SET create_timestamp = "
                "datetime('now', (SELECT ahead || ' seconds' FROM test_clock)) WHERE id = NEW.id; END;"
            )
        self.go_to(start)

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self._ahead, UTC)

    def go_to(self, minute: datetime) -> None:
        """Jump to two seconds before a minute begins."""
        self._ahead = (minute - 2 * A_SECOND).timestamp() - time.time()
        new = self._file.with_suffix(".new")
        new.write_text(str(self._ahead), encoding="ascii")
        # In one piece, as others read it at any moment.
        new.replace(self._file)
        with closing(sqlite3.connect(self._runs)) as database, database:
            database.execute("UPDATE test_clock SET ahead = ?", (self._ahead,))

    def pass_a_minute(self) -> None:
        """In a real second, so that a second is left before the minute would really be over."""
        now = self.now()
        if now.second == 58:
            time.sleep(1 - now.microsecond / 1e6)
        self.go_to((self.now() + 2 * A_SECOND).replace(second=0, microsecond=0) + A_MINUTE)
