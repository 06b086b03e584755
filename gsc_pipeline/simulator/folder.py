"""The URL-prefix property of a folder of another property."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np

from gsc_pipeline.simulator.facts import ANONYMIZED, Facts, Property


class FolderProperty:
    """The pages of `parent` whose addresses begin with `site_url`, with the parent's counts.

    By page, its numbers are those of the parent. By property they are what these pages add to the parent's,
    which is less than Google counts: a search that also shows a better page outside the folder is missing.
    Queries with fewer than `least_impressions` in the folder on a day are anonymised in it alone.
    """

    def __init__(self, parent: Property, site_url: str, *, least_impressions: int = 0) -> None:
        self.site_url = site_url
        self.readers = parent.readers
        self.permission_level = parent.permission_level
        self.filters_see = parent.filters_see
        self.days_shown = parent.days_shown
        self._parent = parent
        self._least = least_impressions

    def facts(self, search_type: str, day: date) -> Facts | None:
        """The parent's facts of the folder's pages; None when there are none."""
        facts = self._parent.facts(search_type, day)
        if facts is None:
            return None
        is_below = np.array([page.startswith(self.site_url) for page in facts.labels.page.tolist()])
        own = facts.take(is_below[facts.page])
        is_named = own.query != ANONYMIZED
        queries = len(facts.labels.query)
        shown = np.bincount(own.query[is_named], own.impressions[is_named], minlength=queries)
        is_rare = is_named & (shown[own.query] < self._least)
        own = replace(own, query=np.where(is_rare, ANONYMIZED, own.query).astype(own.query.dtype))
        return own if len(own) else None
