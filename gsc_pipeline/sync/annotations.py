"""Brings the table `annotations` up to date with Google's ranking updates and the user's file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from gsc_pipeline.lake.annotations.record import TITLE_CHARACTERS, Annotation, Kind, Source
from gsc_pipeline.lake.annotations.stored import bring_up_to_date
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.search_console.search_status import RankingIncident, fetch_ranking_incidents


def update_annotations(
    lake: Lake, address: str, *, yours: Sequence[Annotation] | None = None, now: datetime
) -> tuple[Annotation, ...]:
    """Fetch the ranking updates at `address` and store them, with the shipped annotations and `yours`.

    Returns every annotation of the lake, by day. Raises SearchStatusError before anything is written if the
    answer cannot be used, and LakeError.
    """
    incidents = fetch_ranking_incidents(address, now, title_characters=TITLE_CHARACTERS)
    return bring_up_to_date(lake, yours=yours, fetched=[ranking_update(one) for one in incidents])


def ranking_update(incident: RankingIncident) -> Annotation:
    """A published incident as an annotation. Updates of Discover concern that search type only."""
    return Annotation(
        kind=Kind.RANKING_UPDATE,
        title=incident.title,
        first_day=incident.first_day,
        last_day=incident.last_day,
        search_types=("DISCOVER",) if "discover" in incident.title.lower() else (),
        url=incident.url,
        source=Source.GOOGLE,
    )
