"""The pages that a query most likely shows, by the words of both. An export lists them separately."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import log
from urllib.parse import unquote, urlsplit

import numpy as np

from gsc_pipeline.simulator.facts import Counts, Indexes

_STEM = 5
_HOME_PAGE = 0.05
_FILLED = 0.9


def likely_pages(queries: Sequence[str], needs: Counts, pages: Sequence[str], room: Counts) -> Indexes:
    """The indexes of the first and second choice of page for each query: a (query, 2) array.

    `needs` is a (query, metric) array, `room` a (page, metric) array of at least two pages. Queries choose in
    their order: the page that shares the rarest words with the query and has room for all of it; the home
    page if no page shares a word; the page with the most room if none has enough.
    """
    words_of = [_stems(unquote(urlsplit(page).path)) for page in pages]
    with_word: dict[str, list[int]] = {}
    for index, words in enumerate(words_of):
        for word in words:
            with_word.setdefault(word, []).append(index)
    length = np.array([1.0 + len(words) for words in words_of])
    home = np.array([_HOME_PAGE if not words else 0.0 for words in words_of])
    left = room * _FILLED
    chosen = np.zeros((len(queries), 2), dtype=np.int64)
    for index, (query, need) in enumerate(zip(queries, needs, strict=True)):
        score = home.copy()
        # Sorted, because the order of a set differs by process, and with it the last digit of the sum.
        for word in sorted(_stems(query) & with_word.keys()):
            score[with_word[word]] += log(1 + len(pages) / len(with_word[word]))
        spare = (left / np.maximum(need, 1)).min(axis=1)
        # From 1 on there is enough room, and the words decide; below 1 the room decides.
        rank = np.where(spare >= 1, 1 + score / length**0.5, np.minimum(spare, 1) - 1)
        first = int(np.argmax(rank))
        rank[first] = -np.inf
        chosen[index] = first, int(np.argmax(rank))
        left[first] -= need
    return chosen


def _stems(text: str) -> set[str]:
    return {word[:_STEM] for word in re.findall(r"\w+", text.lower().replace("_", " "))}
