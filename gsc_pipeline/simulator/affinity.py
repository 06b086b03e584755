"""Which page a query most likely leads to, told by the words of both.

Belongs here: a guess that an export leaves open, since it lists queries and pages apart. Does not: any
numbers but the room that a page has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import log
from urllib.parse import unquote, urlsplit

import numpy as np

from gsc_pipeline.simulator.facts import Counts, Places

_STEM = 5
_HOME_PAGE = 0.05
_FILLED = 0.9


def likely_pages(queries: Sequence[str], needs: Counts, pages: Sequence[str], room: Counts) -> Places:
    """The places of the two pages that each query leads to, a (query, 2) array: first and second choice.

    `needs` is a (query, measure) table, `room` a (page, measure) one of at least two pages. Queries
    choose in their order, the page that shares the rarest words with them and has room for all of the
    query: the home page when none shares any, the page with the most room when none has enough.
    """
    words_of = [_stems(unquote(urlsplit(page).path)) for page in pages]
    with_word: dict[str, list[int]] = {}
    for place, words in enumerate(words_of):
        for word in words:
            with_word.setdefault(word, []).append(place)
    length = np.array([1.0 + len(words) for words in words_of])
    home = np.array([_HOME_PAGE if not words else 0.0 for words in words_of])
    left = room * _FILLED
    chosen = np.zeros((len(queries), 2), dtype=np.int64)
    for place, (query, need) in enumerate(zip(queries, needs, strict=True)):
        score = home.copy()
        # Sorted, because the order of a set, and with it the last digit of a sum, differs by process.
        for word in sorted(_stems(query) & with_word.keys()):
            score[with_word[word]] += log(1 + len(pages) / len(with_word[word]))
        spare = (left / np.maximum(need, 1)).min(axis=1)
        # Enough room is 1; below that the most room wins, above it the words.
        rank = np.where(spare >= 1, 1 + score / length**0.5, np.minimum(spare, 1) - 1)
        first = int(np.argmax(rank))
        rank[first] = -np.inf
        chosen[place] = first, int(np.argmax(rank))
        left[first] -= need
    return chosen


def _stems(text: str) -> set[str]:
    return {word[:_STEM] for word in re.findall(r"\w+", text.lower().replace("_", " "))}
