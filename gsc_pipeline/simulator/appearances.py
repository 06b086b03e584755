"""Search appearances: their names in the API, and which facts have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gsc_pipeline.simulator.facts import Codes, Counts, Facts, Reals
from gsc_pipeline.simulator.hashing import uniform

API_NAMES = {
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
"""The API's name of each search appearance, by the name in an English export."""


@dataclass(frozen=True, slots=True)
class Appearance:
    """How common an appearance is: the share of pages that can have it, and of their searches that show it.

    With `abroad`, it is not shown in the two largest countries, which read English.
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
"""The appearances of synthetic properties; a fact may have several."""

_ENGLISH_COUNTRIES = 2


def random_appearances(
    appearances: Sequence[Appearance], query: Codes, page: Codes, country: Codes, seed: int
) -> Counts:
    """The set of appearances of each cell, as bits in the order of `appearances`."""
    bits = np.zeros(len(query), dtype=np.int64)
    for index, one in enumerate(appearances):
        has = uniform(seed, 20 + index, page) < one.of_pages
        has &= uniform(seed, 40 + index, query, page, country) < one.of_searches
        bits |= (has & (country >= _ENGLISH_COUNTRIES if one.abroad else True)).astype(np.int64) << index
    return bits


def appearances_by_share(facts: Facts, shares: Reals, seed: int) -> Counts:
    """A set of appearances for each fact, such that each appearance has about its share of the facts."""
    bits = np.zeros(len(facts), dtype=np.int64)
    keys = (facts.query, facts.page, facts.country, facts.device, facts.day.toordinal())
    for index, share in enumerate(shares.tolist()):
        has = uniform(seed, 60 + index, *keys) < share
        bits |= has.astype(np.int64) << index
    return bits
