"""The benchmarks at a size that shows that they work, and nothing about speed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from deltalake import DeltaTable

from benchmarks.catalogue import PROGRAMS, Program, Scenario
from benchmarks.measure import Measurement, ProgramFailedError
from benchmarks.results import Section, keep, kept, render, section
from benchmarks.runner import Outcome, check_agreement, run_scenario

SMALL = Scenario("small", "2 days × 50 rows", 2, 50, 0.0, ("floor", "library"))


def measured(**figures: float) -> Measurement:
    return Measurement(**{"wall": 1.0, "cpu": 1.0, "peak_mib": 100.0, "calls": 3, "rows": 2000, **figures})


def outcome(**programs: Measurement) -> Outcome:
    return Outcome(5, programs, {})


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def small(work: Path) -> Outcome:
    return run_scenario(SMALL, work, runs=1)


def test_programs_are_measured_by_what_the_server_sent_them(small: Outcome, work: Path):
    assert small.failures == {}
    floor, library = small.medians["floor"], small.medians["library"]
    assert (floor.calls, floor.rows) == (2, 100)
    # A probe; then for each of two days the totals and the queries, by property and by page.
    assert library.calls == 1 + 2 * 4
    assert library.rows > 2 * floor.rows
    assert floor.cpu > 0
    assert 20 < floor.peak_mib < 2000
    assert DeltaTable(str(work / "floor" / "table")).to_pyarrow_table().num_rows == 100
    assert DeltaTable(str(work / "library" / "lake" / "searchdata_url_impression")).count() >= 100


def test_a_table_shows_figures_and_ratios_to_the_floor(small: Outcome):
    text = render([section(SMALL, small, load=0.5)])
    assert "## 2 days × 50 rows" in text
    assert "one run, load 0.5 before" in text
    assert "| floor |" in text
    assert "| library |" in text
    text = render([section(SMALL, outcome(floor=measured(), library=measured(cpu=3.0, rows=4000)), 0.0)])
    row = next(line for line in text.splitlines() if line.startswith("| library"))
    assert row == "| library | 1.00 | 3.00 | 100 | 3 | 4,000 | 4,000 | 750.00 | 0.50 | 1.50 |"


def test_a_program_that_fails_is_named_and_stops_no_other(tmp_path: Path):
    broken = Program(
        "airbyte", "broken", lambda job: (sys.executable, "-c", "raise SystemExit('no such day')")
    )
    both = replace(SMALL, rows=20, programs=("airbyte", "floor"))
    found = run_scenario(both, tmp_path, runs=2, programs={**PROGRAMS, "airbyte": broken})
    assert list(found.medians) == ["floor"]
    text = render([section(both, found, 0.0)])
    assert "Airbyte source 1.9.4 could not be measured: " in text
    assert "no such day" in text


def test_figures_are_kept_between_invocations(tmp_path: Path):
    first = section(SMALL, outcome(floor=measured()), load=1.0)
    again = section(SMALL, outcome(floor=measured(wall=2.0)), load=0.0)
    for found in (first, again):
        keep(tmp_path, found)
    assert kept(tmp_path, [SMALL, replace(SMALL, name="never measured")]) == [again]


@pytest.mark.soak
def test_a_report_is_measured_on_a_lake_that_needs_no_sync(tmp_path: Path):
    both = ("report", "report-again")
    scenario = Scenario("report", "a report", 70, 30, 0.0, both, ("https://www.example.com/",), idle=True)
    found = run_scenario(scenario, tmp_path, runs=1)
    assert found.failures == {}
    made, again = found.medians["report"], found.medians["report-again"]
    assert made.calls == again.calls == 0
    assert (tmp_path / "report" / "reports" / "acme.html").exists()
    # Both runs of the first program compute the insights; of the second program, only the first run does.
    assert len(DeltaTable(str(tmp_path / "report" / "lake" / "ctr_curve")).history()) == 2
    assert len(DeltaTable(str(tmp_path / "report-again" / "lake" / "ctr_curve")).history()) == 2
    text = render([section(scenario, outcome(report=measured(wall=9.9, peak_mib=480.0)), 0.0)])
    assert "| report of 10 properties and 16 months: wall | < 10 s | 9.9 s | yes |" in text
    assert "| the same: peak memory | < 500 MB | 503 MB | no |" in text


def test_figures_are_compared_with_targets():
    def found(name: str, **programs: Measurement) -> Section:
        return section(replace(SMALL, name=name, sites=("a", "b", "c")), outcome(**programs), 0.0)

    text = render(
        [
            found("14x25000", floor=measured(), library=measured(wall=1.2, cpu=1.3, peak_mib=600.0)),
            found("90x50000", library=measured()),
            found("idle", dagster=measured(cpu=2.5), empty=measured(cpu=1.7, calls=0)),
            found(
                "connectors-1000", library=measured(), singer=measured(cpu=49.0), airbyte=measured(cpu=51.0)
            ),
            found(
                "connectors-5000",
                library=measured(cpu=2.0, rows=4000),
                singer=measured(cpu=109.0, rows=4000),
            ),
        ]
    )
    assert "| 14 × 25,000: wall a row, library ÷ floor | ≤ 1.25 | 1.20 | yes |" in text
    assert "| 14 × 25,000: CPU a row, library ÷ floor | ≤ 1.25 | 1.30 | no |" in text
    assert "| 14 × 25,000: peak memory, library | < 600 MB | 629 MB | no |" in text
    assert "| idle tick: CPU of a Dagster run above an empty one | ≤ 1.0 s | 0.80 s | yes |" in text
    assert "| 90 × 50,000: peak memory, library | < 600 MB | 105 MB | yes |" in text
    assert "| idle tick: API calls | 3 | 3 | yes |" in text
    assert "| 14 × 1,000: CPU a row, Singer tap 1.1.2 ÷ library | ≥ 50 | 49.0 | no |" in text
    assert "| CPU a further row, Singer tap 1.1.2 ÷ library | ≥ 50 | 60.0 | yes |" in text
    assert "| 14 × 1,000: CPU a row, Airbyte source 1.9.4 ÷ library | ≥ 50 | 51.0 | yes |" in text


def test_wall_times_of_a_single_run_are_not_compared():
    once = Outcome(1, {"floor": measured(wall=9.0), "library": measured()}, {})
    text = render([section(replace(SMALL, name="14x25000"), once, 0.0)])
    assert "wall a row, library ÷ floor" not in text
    assert "CPU a row, library ÷ floor" in text
    assert "| library | 1.00 | 1.00 | 100 | 3 | 2,000 |  | 500.00 |  | 1.00 |" in text


def test_a_raised_rate_limit_is_noted():
    text = render([section(replace(SMALL, limit_factor=100), outcome(library=measured()), 0.0)])
    assert "GSC_API_LIMIT_FACTOR=100" in text


def test_programs_of_the_project_must_be_served_the_same_rows():
    check_agreement(SMALL, {"floor": measured(rows=1), "library": measured()})
    with pytest.raises(ProgramFailedError, match=r"small: .*'command': 1"):
        check_agreement(SMALL, {"command": measured(rows=1), "library": measured()})


def test_the_rate_of_the_server_has_a_target(tmp_path: Path):
    scenario = Scenario("server", "the server", 2, 50, 0.0, ("server",))
    found = run_scenario(scenario, tmp_path, runs=1)
    assert found.failures == {}
    assert found.medians["server"].rows % (2 * 50) == 0
    assert found.medians["server"].rows > 0
    for rows, answer in ((2_000_000, "2,000,000 | yes"), (500_000, "500,000 | no")):
        text = render([section(scenario, outcome(server=measured(rows=rows)), 0.0)])
        assert f"| the server alone: rows a second | > 1,000,000 | {answer} |" in text
