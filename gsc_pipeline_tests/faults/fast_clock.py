"""A clock that a test sets and other processes follow: Dagster's daemon, its runs, the pipeline.

Dagster reads the time from two functions that tests may replace, and an event's time from its log record;
the pipeline reads the clock that is passed in. Pauses and time-outs stay real. A minute of this clock lasts
a second: the clock is always in a minute's last two seconds, so that the scheduler, which sleeps until the
minute is over, reads it at least every two real seconds.
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
"""Names the file that holds how many seconds the clock is ahead of the machine's."""
A_SECOND, A_MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def followed() -> datetime:
    """The clock's time in a process that follows it."""
    return datetime.fromtimestamp(time.time() + _seconds_ahead(), UTC)


def follow() -> None:
    """Make Dagster in this process follow the clock that the environment names."""
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
    """The clock as its test sets it. `runs` is an SQLite database that sets the times of new runs itself."""

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
        # Atomically: other processes read it at any moment.
        new.replace(self._file)
        with closing(sqlite3.connect(self._runs)) as database, database:
            database.execute("UPDATE test_clock SET ahead = ?", (self._ahead,))

    def pass_a_minute(self) -> None:
        """Take a real second, and stop a second before the next minute begins."""
        now = self.now()
        if now.second == 58:
            time.sleep(1 - now.microsecond / 1e6)
        self.go_to((self.now() + 2 * A_SECOND).replace(second=0, microsecond=0) + A_MINUTE)
