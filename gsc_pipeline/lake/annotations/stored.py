"""The table `annotations`: reads it, and brings it up to date without a commit where nothing changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from gsc_pipeline.lake.annotations.record import Annotation, Kind, Source, order
from gsc_pipeline.lake.annotations.shipped import shipped
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.parquet_source import sql_list
from gsc_pipeline.lake.schemas import ANNOTATIONS


@dataclass(frozen=True, slots=True)
class _Of:
    """Selects the rows of some sources."""

    sources: tuple[Source, ...]

    def predicate(self) -> str:
        return f"source IN ({sql_list(self.sources)})"


def known(lake: Lake) -> tuple[Annotation, ...]:
    """Every known annotation, by day: those of the table, and the shipped ones if it has none of them yet.

    Raises LakeError if the table cannot be read.
    """
    held = _held(lake)
    if not any(one.source is Source.SHIPPED for one in held):
        held = [*held, *_without(shipped(), held)]
    return tuple(sorted(held, key=order))


def listed(lake: Lake, yours: Sequence[Annotation] | None = None) -> tuple[Annotation, ...]:
    """Every annotation, by day, as `bring_up_to_date` would store them. Writes nothing. Raises LakeError."""
    return _wanted(_held(lake), yours, ())


def bring_up_to_date(
    lake: Lake, *, yours: Sequence[Annotation] | None = None, fetched: Sequence[Annotation] = ()
) -> tuple[Annotation, ...]:
    """Bring the table up to date, and return every annotation that it holds then, by day.

    The shipped ones become those of this release. `yours` replace the user's earlier ones; None leaves them.
    `fetched` are added to those of Google's status page, or replace the ones with the same `url`. A ranking
    update of that page replaces the shipped one of the same title. Each commit replaces the rows of its own
    sources, so that a process that fetches and one that does not may write at once. Raises LakeError.
    """
    held = _held(lake)
    wanted = _wanted(held, yours, fetched)
    for sources in ((Source.GOOGLE,), (Source.SHIPPED, Source.YOURS)):
        earlier, rows = (as_table(one for one in of if one.source in sources) for of in (held, wanted))
        if not rows.equals(earlier):
            lake.replace(ANNOTATIONS, _Of(sources), rows)
    return wanted


def as_table(annotations: Iterable[Annotation]) -> pa.Table:
    """The annotations as rows of the table, by day."""
    return pa.Table.from_pylist(
        [_row(one) for one in sorted(annotations, key=order)], schema=ANNOTATIONS.schema
    )


def _wanted(
    held: Sequence[Annotation], yours: Sequence[Annotation] | None, fetched: Sequence[Annotation]
) -> tuple[Annotation, ...]:
    google = {one.url: one for one in held if one.source is Source.GOOGLE} | {one.url: one for one in fetched}
    own = [one for one in held if one.source is Source.YOURS] if yours is None else yours
    return tuple(sorted([*google.values(), *own, *_without(shipped(), google.values())], key=order))


def _without(of: Iterable[Annotation], others: Iterable[Annotation]) -> list[Annotation]:
    """Those that no ranking update of `others` repeats. Titles are compared: they name month and year."""
    titles = {one.title.casefold() for one in others if one.source is Source.GOOGLE}
    return [one for one in of if one.kind is not Kind.RANKING_UPDATE or one.title.casefold() not in titles]


def _held(lake: Lake) -> list[Annotation]:
    return [_annotation(row) for row in lake.read(ANNOTATIONS).to_pylist()]


def _row(one: Annotation) -> dict[str, Any]:
    return {
        "source": one.source.value,
        "kind": one.kind.value,
        "title": one.title,
        "description": one.description or None,
        "first_day": one.first_day,
        "last_day": one.last_day,
        "search_types": list(one.search_types) or None,
        "metrics": list(one.metrics) or None,
        "workspace": one.workspace,
        "site_url": one.site_url,
        "url": one.url or None,
    }


def _annotation(row: dict[str, Any]) -> Annotation:
    return Annotation(
        kind=Kind(row["kind"]),
        title=row["title"],
        first_day=row["first_day"],
        last_day=row["last_day"],
        search_types=tuple(row["search_types"] or ()),
        metrics=tuple(row["metrics"] or ()),
        workspace=row["workspace"],
        site_url=row["site_url"],
        description=row["description"] or "",
        url=row["url"] or "",
        source=Source(row["source"]),
    )
