"""The roll-out: which workspaces a percentage includes."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from gsc_pipeline.workspaces.registry import is_rolled_out

IDS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
STEPS = (0, 1, 5, 25, 50, 100)


@given(IDS, st.floats(0, 100), st.floats(0, 100))
def test_a_higher_percentage_only_adds_workspaces(workspace: str, one: float, other: float) -> None:
    lower, higher = sorted((one, other))
    assert is_rolled_out(workspace, higher) or not is_rolled_out(workspace, lower)


@given(IDS)
def test_no_workspace_is_included_at_0_and_every_one_at_100(workspace: str) -> None:
    assert not is_rolled_out(workspace, 0)
    assert is_rolled_out(workspace, 100)


def test_about_the_given_percentage_is_included() -> None:
    names = [f"client-{n}" for n in range(10_000)]
    for percent in STEPS:
        share = 100 * sum(is_rolled_out(name, percent) for name in names) / len(names)
        assert abs(share - percent) < 1


def test_the_choice_is_the_same_in_every_process() -> None:
    names = [f"client-{n}" for n in range(200)]
    script = (
        "from gsc_pipeline.workspaces.registry import is_rolled_out\n"
        f"print([is_rolled_out(f'client-{{n}}', 25) for n in range({len(names)})])"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str([is_rolled_out(name, 25) for name in names])


def test_the_choice_is_the_same_as_in_earlier_versions() -> None:
    """A change would remove workspaces from a roll-out in progress."""
    assert [n for n in range(100) if is_rolled_out(f"client-{n}", 5)] == [14, 31, 42, 43, 62, 64, 96]
