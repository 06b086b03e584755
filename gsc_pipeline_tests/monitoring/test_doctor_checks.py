"""Running checks: one that raises or hangs is a result of its own, and no secret is in any."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gsc_pipeline.errors import PipelineError
from gsc_pipeline.monitoring.doctor import machine
from gsc_pipeline.monitoring.doctor.checks import Check, Diagnosis, Result, State, run_checks
from gsc_pipeline.text.secrets import keep_passwords


def good(name: str) -> Check:
    return Check(name, lambda: Result.ok(name, "all is well"))


class Panic(BaseException):
    """As a library in Rust raises it."""


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (PipelineError("the lake is away"), "the lake is away"),
        (ValueError("3 of 4"), "the check ended with ValueError: 3 of 4"),
        (Panic("unwrap"), "the check ended with Panic: unwrap"),
        (SystemExit(3), "the check ended with SystemExit: 3"),
    ],
)
def test_a_check_that_raises_is_a_failure_and_the_others_go_on(error: BaseException, detail: str) -> None:
    def raising() -> Result:
        raise error

    found = run_checks([good("first"), Check("broken", raising), good("last")])
    assert [one.name for one in found.results] == ["first", "broken", "last"]
    broken = found.results[1]
    assert (broken.state, broken.detail) == (State.FAIL, detail)
    assert broken.next_step
    assert (found.ok, found.hangs) == (False, False)


def test_a_check_that_hangs_is_a_failure_after_its_deadline_and_holds_up_no_other() -> None:
    release = threading.Event()

    def hanging() -> Result:
        release.wait()
        return Result.ok("hanging", "too late")

    hangs = [Check(f"hanging {number}", hanging, seconds=0.2) for number in range(3)]
    found = run_checks([*hangs, good("other")], at_once=1)
    release.set()
    assert [one.state for one in found.results] == [State.FAIL] * 3 + [State.OK]
    assert found.results[0].detail == "no answer within 0.2 seconds"
    assert "hangs" in found.results[0].next_step
    assert found.hangs


def test_more_checks_than_threads_all_run_in_order() -> None:
    found = run_checks([good(str(number)) for number in range(50)], at_once=3)
    assert [one.name for one in found.results] == [str(number) for number in range(50)]
    assert found.ok


def test_a_check_may_have_several_results() -> None:
    both = [Result.ok("one", ""), Result("two", State.WARN, "so so", "wait")]
    found = run_checks([Check("both", lambda: both), good("last")])
    assert [one.name for one in found.results] == ["one", "two", "last"]
    # A warning is no failure.
    assert found.ok


def test_details_are_one_line_without_secrets() -> None:
    keep_passwords("postgresql://gsc:pass-word-7@db/gsc")
    one = Result("state", State.FAIL, "no answer:\n  postgresql://gsc:pass-word-7@db/gsc\n", "x" * 10_000)
    assert "pass-word-7" not in one.detail
    assert "\n" not in one.detail
    assert len(one.next_step) == 600


def test_the_json_has_the_documented_form() -> None:
    found = Diagnosis((Result.ok("api", "answers"), Result("lake", State.FAIL, "away", "mount it")))
    assert found.as_json() == {
        "ok": False,
        "checks": [
            {"name": "api", "state": "ok", "detail": "answers", "next_step": ""},
            {"name": "lake", "state": "fail", "detail": "away", "next_step": "mount it"},
        ],
    }


def test_memory_is_what_is_left_of_the_containers_limit_and_cached_files_are_not_used(tmp_path: Path) -> None:
    memory, group = tmp_path / "meminfo", tmp_path / "group"
    assert machine.available_memory(memory, group) is None
    memory.write_text("MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\nHugePages_Total: 0\n")
    assert machine.available_memory(memory, group) == 8_192_000_000
    group.mkdir()
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("900\n")
    (group / "memory.stat").write_text("active_file 300\ninactive_file 200\n")
    assert machine.available_memory(memory, group) == 8_192_000_000
    (group / "memory.max").write_text("1000\n")
    assert machine.available_memory(memory, group) == 600
