"""Reads the incidents of Google's Search Status Dashboard, which lists its ranking updates. Needs no account.

The document is a list of objects. Of their fields, only those of `_Incident` are used. Times are in ISO form
with an offset; `end` is null or absent while an incident goes on.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import msgspec

from gsc_pipeline.days import pacific_today
from gsc_pipeline.errors import PipelineError
from gsc_pipeline.search_console.errors import SearchConsoleError, WrongAnswerError, printable
from gsc_pipeline.search_console.json_answers import decode_strictly
from gsc_pipeline.search_console.transport import MEGABYTE, Transport, TransportLimits, without_secrets

LIMITS = TransportLimits(connections=1, silent_seconds=30, call_seconds=60, answer_bytes=8 * MEGABYTE)
INCIDENT_URL = "https://status.search.google.com/incidents/"
RANKING = "Ranking"
"""The product whose incidents are ranking updates; the others are crawling, indexing and serving."""

MOST_INCIDENTS = 500
"""Google publishes some ten a year."""

_EARLIEST = date(2015, 1, 1)
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class SearchStatusError(PipelineError):
    """Google's incidents could not be read. Nothing was written."""


@dataclass(frozen=True, slots=True)
class RankingIncident:
    """A ranking update as Google published it, with its Pacific days; `last_day` is None while it goes on."""

    title: str
    first_day: date
    last_day: date | None
    url: str


class _Product(msgspec.Struct):
    title: str = ""


class _Incident(msgspec.Struct):
    id: str = ""
    begin: str = ""
    end: str | None = None
    external_desc: str = ""
    service_name: str = ""
    affected_products: list[_Product] = []

    @property
    def is_about_ranking(self) -> bool:
        return RANKING in (self.service_name, *(one.title for one in self.affected_products))


_INCIDENTS = msgspec.json.Decoder(list[_Incident])


def fetch_ranking_incidents(address: str, now: datetime, *, title_characters: int) -> list[RankingIncident]:
    """The ranking incidents at `address`, in the order of the document; longer titles are cut.

    Raises SearchStatusError if there is no answer, or if any of it cannot be true at `now` (aware).
    """
    transport = Transport(LIMITS)
    server = without_secrets(address)
    try:
        answer = transport.send("GET", address, body=None, headers={}, server=server)
        if answer.status != 200:
            raise WrongAnswerError(f"{server} answered {answer.status}")
        return decode_incidents(answer.data, now, title_characters=title_characters)
    except SearchConsoleError as error:
        raise SearchStatusError(
            f"no ranking updates: {error.cause}. Nothing was written: check GSC_SEARCH_STATUS_URL and the "
            "network"
        ) from None
    finally:
        transport.close()


def decode_incidents(body: bytes, now: datetime, *, title_characters: int) -> list[RankingIncident]:
    """The ranking incidents of a document. Raises ServiceUnavailableError or WrongAnswerError."""
    incidents = decode_strictly(_INCIDENTS, body, "the list of incidents")
    found = [_ranking(one, now, title_characters) for one in incidents if one.is_about_ranking]
    if not 0 < len(found) <= MOST_INCIDENTS:
        raise WrongAnswerError(
            f"the list of incidents has {len(found)} of the product {RANKING}, expected 1 to {MOST_INCIDENTS}"
        )
    (url, times), *_ = Counter(one.url for one in found).most_common(1)
    if times > 1:
        raise WrongAnswerError(f"the list of incidents has {url} {times} times")
    return found


def _ranking(one: _Incident, now: datetime, title_characters: int) -> RankingIncident:
    if not _ID.fullmatch(one.id):
        raise _wrong(one, "its id has other characters than letters, digits, - and _")
    first, last = _day(one, "begin", one.begin), _day(one, "end", one.end) if one.end else None
    if not _EARLIEST <= first <= pacific_today(now + timedelta(days=1)):
        raise _wrong(one, f"it begins on {first}")
    if last is not None and not first <= last <= pacific_today(now + timedelta(days=1)):
        raise _wrong(one, f"it begins on {first} and ends on {last}")
    title = printable(one.external_desc, title_characters)
    if not title:
        raise _wrong(one, "it has no title")
    return RankingIncident(title, first, last, INCIDENT_URL + one.id)


def _day(one: _Incident, name: str, text: str) -> date:
    try:
        return pacific_today(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise _wrong(one, f"its {name} is {printable(text, 60)!r}, no time with a time zone") from None


def _wrong(one: _Incident, because: str) -> WrongAnswerError:
    return WrongAnswerError(f"incident {printable(one.id, 60)} cannot be true: {because}")
