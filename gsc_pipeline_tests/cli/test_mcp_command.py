"""`gsc mcp` at the prompt. gsc_pipeline_tests/assistants has what it serves."""

from __future__ import annotations

from gsc_pipeline_tests.cli.conftest import Gsc
from gsc_pipeline_tests.world import World


def test_an_unknown_workspace_is_one_line(world: World, gsc: Gsc) -> None:
    done = gsc("mcp", "--workspace", "acne", env=world.environment())
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert "acne: unknown workspace" in line
