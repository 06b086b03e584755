"""The user's file of annotations: valid entries, and one line for each wrong one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from gsc_pipeline.lake.annotations.record import Annotation, Kind, Source
from gsc_pipeline.workspaces.annotations_file import OwnAnnotations, load_annotations

Load = Callable[[str], OwnAnnotations]
KEYS = "title, first_day, last_day, kind, search_types, metrics, workspace, property, description, url"


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a file of this content, beside the workspaces acme and globex."""

    def load(content: str) -> OwnAnnotations:
        path = tmp_path / "annotations.yaml"
        path.write_text(content, encoding="utf-8")
        return load_annotations(path, ["acme", "globex"])

    return load


def problems(load: Load, content: str) -> list[str]:
    paths, found = zip(*(one.split(": ", 1) for one in load(content).problems), strict=True)
    assert all(path.endswith("annotations.yaml") for path in paths)
    return list(found)


def valid(load: Load, content: str) -> tuple[Annotation, ...]:
    own = load(content)
    assert own.problems == ()
    assert own.valid is not None
    return own.valid


def test_a_note_needs_a_title_and_a_day(load: Load) -> None:
    (one,) = valid(load, "annotations:\n- {title: New navigation, first_day: 2026-03-01}")
    assert one == Annotation(Kind.NOTE, "New navigation", date(2026, 3, 1), source=Source.YOURS)


def test_every_key_is_read(load: Load) -> None:
    (one,) = valid(
        load,
        """
annotations:
- title: Relaunch
  kind: data_fault
  first_day: 2026-03-01
  last_day: 2026-03-02
  search_types: [web, googleNews]
  metrics: [clicks]
  workspace: acme
  property: sc-domain:acme.com
  description: >-
    Two days
    without logs
  url: https://acme.com/log
""",
    )
    assert one == Annotation(
        Kind.DATA_FAULT,
        "Relaunch",
        date(2026, 3, 1),
        date(2026, 3, 2),
        ("WEB", "GOOGLE_NEWS"),
        ("clicks",),
        "acme",
        "sc-domain:acme.com",
        "Two days without logs",
        "https://acme.com/log",
        Source.YOURS,
    )


def test_an_empty_list_has_none(load: Load) -> None:
    assert valid(load, "annotations: []") == ()


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("{first_day: 2026-03-01}", "annotations[0].title: missing"),
        ("{title: a}", "annotations[0].first_day: missing"),
        (
            "{title: a, first_day: '2026-03-01'}",
            "annotations[0].first_day: '2026-03-01': expected a date such as 2026-11-20, without quotes",
        ),
        (
            "{title: a, first_day: 2026-03-01 12:00:00}",
            "annotations[0].first_day: 2026-03-01 12:00:00: expected a date such as 2026-11-20, without "
            "quotes",
        ),
        (
            "{title: a, first_day: 20260301}",
            "annotations[0].first_day: 20260301: expected a date such as 2026-11-20, without quotes",
        ),
        (
            "{title: a, first_day: 2026-03-02, last_day: 2026-03-01}",
            "annotations[0].last_day: expected 2026-03-02, its first day, or later",
        ),
        (
            "{title: '', first_day: 2026-03-01}",
            "annotations[0].title: expected 1 to 120 characters on one line",
        ),
        (
            "{title: a, first_day: 2026-03-01, kind: outage}",
            "annotations[0].kind: 'outage': expected 'data_fault', 'counting_change', 'ranking_update' or "
            "'note'",
        ),
        (
            "{title: a, first_day: 2026-03-01, search_types: [WEB]}",
            "annotations[0].search_types[0]: 'WEB': expected 'web', 'image', 'video', 'news', 'discover' or "
            "'googleNews'",
        ),
        (
            "{title: a, first_day: 2026-03-01, metrics: [visits]}",
            "annotations[0].metrics[0]: 'visits': expected 'clicks', 'impressions', 'ctr' or 'position'",
        ),
        (
            "{title: a, first_day: 2026-03-01, workspace: acmee}",
            "annotations[0].workspace: 'acmee': expected the id of a workspace, such as acme",
        ),
        (
            "{title: a, first_day: 2026-03-01, property: acme.com}",
            "annotations[0].property: 'acme.com': expected sc-domain:example.com, or https://example.com/ "
            "with its final slash",
        ),
        (
            "{title: a, first_day: 2026-03-01, url: 'javascript:alert(1)'}",
            "annotations[0].url: 'javascript:alert(1)': expected an address that begins with https://",
        ),
        (
            "{title: a, first_day: 2026-03-01, lastday: 2026-03-01}",
            f"annotations[0].lastday: unknown key, expected one of {KEYS}",
        ),
        ("a note", f"annotations[0]: 'a note': expected a mapping with the keys {KEYS}"),
    ],
)
def test_a_wrong_entry_is_one_line_with_its_place_and_what_is_expected(
    load: Load, entry: str, problem: str
) -> None:
    assert problems(load, f"annotations:\n- {entry}") == [problem]


def test_every_wrong_entry_is_reported(load: Load) -> None:
    found = problems(load, "annotations:\n- {title: a}\n- {first_day: 2026-03-01}\n- 3")
    assert [line.split(":")[0] for line in found] == [
        "annotations[0].first_day",
        "annotations[1].title",
        "annotations[2]",
    ]


def test_a_wrong_entry_leaves_the_others_in_use(load: Load) -> None:
    right = "- {title: Relaunch, first_day: 2026-03-01}\n"
    for wrong in ("- {title: a}\n", "- {title: '', first_day: 2026-03-01}\n", "- 3\n", right):
        own = load(f"annotations:\n{right}{wrong}- {{title: b, first_day: 2026-03-02}}")
        assert own.valid is not None
        assert [one.title for one in own.valid] == ["Relaunch", "b"]
        (warning,) = own.warnings
        assert "annotations.yaml: annotations[1]" in warning
        assert warning.endswith("(until corrected, the entry is left out)")


def test_a_repeated_entry_is_named(load: Load) -> None:
    entry = "- {title: a, first_day: 2026-03-01}\n"
    assert problems(load, f"annotations:\n{entry}{entry}") == [
        "annotations[1]: the same as annotations[0]: expected only once"
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "empty: expected a mapping with the key annotations"),
        ("- a", "a list: expected a mapping with the key annotations"),
        ("annotations: {", "not valid YAML: expected the node content, but found '<stream end>'"),
        ("annotations: 2026-99-99", "not valid YAML: '2026-99-99' cannot be read as timestamp"),
    ],
)
def test_a_file_of_another_form_is_one_line(load: Load, content: str, problem: str) -> None:
    (found,) = problems(load, content)
    assert found.startswith(problem)
    assert load(content).valid is None
    assert load(content).warnings[0].endswith("(until corrected, the lake keeps your earlier ones)")


def test_a_missing_file_names_the_setting(tmp_path: Path) -> None:
    own = load_annotations(tmp_path / "none.yaml", [])
    (problem,) = own.problems
    assert problem.endswith("set GSC_ANNOTATIONS to a file of annotations, or unset it")
    assert own.valid is None
