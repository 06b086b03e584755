"""Both nights on which California's clocks change: days are whole, in order, and final at the right time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from gsc_pipeline.days import ONE_DAY, PACIFIC, Window
from gsc_pipeline.defs.jobs import WINDOW_TAG
from gsc_pipeline.lake.schemas import SYNC_LEDGER
from gsc_pipeline.simulator import SyntheticProperty, is_complete
from gsc_pipeline.sync.ledger import Status
from gsc_pipeline_tests.faults.station import Station
from gsc_pipeline_tests.sync.test_truth import assert_lake_is_true
from gsc_pipeline_tests.world import World

SPRING, AUTUMN = date(2026, 3, 8), date(2026, 11, 1)


def midnight(day: date) -> datetime:
    """When a day begins in California, in UTC."""
    return datetime.combine(day, datetime.min.time(), PACIFIC).astimezone(UTC)


@pytest.mark.parametrize(("changed", "hours"), [(SPRING, 23), (AUTUMN, 25)])
@pytest.mark.soak
def test_ticks_around_a_clock_change_request_whole_days_and_end_in_true_rows(
    tmp_path: Path, changed: date, hours: int
) -> None:
    assert midnight(changed + ONE_DAY) - midnight(changed) == timedelta(hours=hours)
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=20, plants=False)
    last_moment = timedelta(minutes=1)
    moments = [
        midnight(changed) - last_moment,
        midnight(changed),
        midnight(changed) + timedelta(hours=2),
        midnight(changed) + timedelta(hours=3),
        midnight(changed + ONE_DAY) - last_moment,
        midnight(changed + ONE_DAY),
        *(midnight(changed + n * ONE_DAY) for n in (2, 3, 5)),
    ]
    with World.serving(tmp_path, [prop]) as world, Station.of(world, [world.workspace()]) as station:
        for moment in moments:
            world.now = moment
            (request,) = station.ask()
            today = moment.astimezone(PACIFIC).date()
            window = Window(today - 5 * ONE_DAY, today)
            assert not isinstance(request, str)
            assert request.tags[WINDOW_TAG] == f"{window.start}/{window.last}"
            assert station.run(request).success
            assert_lake_is_true(world, list(window))
            ledger = {row["data_date"]: row["status"] for row in world.lake.read(SYNC_LEDGER).to_pylist()}
            for day in window:
                expected = Status.FINAL if is_complete(day, moment) else Status.PROVISIONAL
                assert ledger[day] == expected.value, f"{day} at {moment}"
        days = sorted(ledger)
        assert days == list(Window.inclusive(days[0], days[-1]))
        assert ledger[changed] == Status.FINAL.value
