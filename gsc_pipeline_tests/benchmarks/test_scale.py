"""The measurements at scale, at their smallest sizes: they run and report their figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scale.__main__ import main


@pytest.mark.soak
def test_parts_are_measured_and_reported_with_the_machine_and_versions(tmp_path: Path) -> None:
    report = tmp_path / "SCALE.md"
    main(["--tiny", "ticks", "idle", "commits", "writers", "--out", str(report)])
    text = report.read_text(encoding="utf-8")
    assert "deltalake" in text
    assert "cores" in text
    assert "## The schedule's tick with 6 active workspaces" in text
    assert "\n| 1 | 6 |" in text
    assert "\n| 2 | 1 |" in text.partition("## An idle tick")[2]
    assert "\n| 2 | 4 | 4 |" in text.partition("## Commits of many processes")[2]
    assert "\n| 2 | 4 | 4 |" in text.partition("## Writers of one table in a bucket")[2]


def test_an_unknown_part_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["no-such-part", "--out", str(tmp_path / "SCALE.md")])
    assert "no part is called no-such-part" in capsys.readouterr().err
