"""Search appearances: the words of the API, and which facts have which.

Belongs here: names, and drawing appearances for facts. Does not: counting by them (`grouping`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gsc_pipeline.simulator.facts import Codes, Counts, Facts, Reals
from gsc_pipeline.simulator.hashing import uniform

API_WORDS = {
    "Product snippets": "PRODUCT_SNIPPETS",
    "Merchant listings": "MERCHANT_LISTINGS",
    "Review snippet": "REVIEW_SNIPPET",
    "Translated results": "TRANSLATED_RESULT",
    "Videos": "VIDEO",
    "Rich results": "RICHCARD",
    "AMP article": "AMP_TOP_STORIES",
    "AMP non-rich results": "AMP_BLUE_LINK",
    "AMP on image result": "AMP_IMAGE_RESULT",
    "Web Light results": "WEBLITE",
    "Web Story": "AMP_STORY",
    "Job listing": "JOB_LISTING",
    "Job details": "JOB_DETAILS",
    "Event listing": "EVENTS_LISTING",
    "Event details": "EVENTS_DETAILS",
    "Q&A rich results": "TPF_QA",
    "FAQ rich results": "TPF_FAQ",
    "How-to rich results": "TPF_HOWTO",
    "Recipe gallery": "RECIPE_FEATURE",
    "Recipe rich result": "RECIPE_RICH_SNIPPET",
    "Special announcements": "SPECIAL_ANNOUNCEMENT",
    "Subscribed content": "SUBSCRIBED_CONTENT",
    "Good page experience": "PAGE_EXPERIENCE",
    "Practice problems": "PRACTICE_PROBLEMS",
    "Math solvers": "MATH_SOLVERS",
    "Education Q&A": "EDU_Q_AND_A",
    "Learning videos": "LEARNING_VIDEOS",
    "Discussions and forums": "FORUMS",
    "Android App": "ANDROID_APP",
}
"""What the export calls an appearance in English, and its word in the API, as far as known."""


@dataclass(frozen=True, slots=True)
class Appearance:
    """How common an appearance is: among pages, and among the searches that show such a page.

    `abroad` leaves out the two largest countries, which read English.
    """

    name: str
    of_pages: float
    of_searches: float
    abroad: bool = False


DRAWN = (
    Appearance("PRODUCT_SNIPPETS", 0.4, 0.7),
    Appearance("REVIEW_SNIPPET", 0.25, 0.5),
    Appearance("TRANSLATED_RESULT", 0.6, 0.2, abroad=True),
    Appearance("VIDEO", 0.1, 0.3),
)
"""The appearances of made-up properties; a fact may have several."""

_ENGLISH = 2


def drawn(appearances: Sequence[Appearance], query: Codes, page: Codes, country: Codes, seed: int) -> Counts:
    """For each cell the set of its appearances, as bits in the order of `appearances`."""
    bits = np.zeros(len(query), dtype=np.int64)
    for place, one in enumerate(appearances):
        has = uniform(seed, 20 + place, page) < one.of_pages
        has &= uniform(seed, 40 + place, query, page, country) < one.of_searches
        bits |= (has & (country >= _ENGLISH if one.abroad else True)).astype(np.int64) << place
    return bits


def marked(facts: Facts, shares: Reals, seed: int) -> Counts:
    """For each fact a set of appearances, so that each is at about its share of `shares`."""
    bits = np.zeros(len(facts), dtype=np.int64)
    row = (facts.query, facts.page, facts.country, facts.device, facts.day.toordinal())
    for place, share in enumerate(shares.tolist()):
        has = uniform(seed, 60 + place, *row) < share
        bits |= has.astype(np.int64) << place
    return bits
