"""The findings that are planted in a synthetic property."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gsc_pipeline.simulator.synthetic.curves import STEADY


@dataclass(frozen=True, slots=True)
class PlantedFinding:
    """Something that an analysis of the property must find.

    - `decay`: `pages[0]` loses clicks.
    - `cannibalisation`: the clicks of `query` are split between `pages`, more than a tenth to each.
    - `striking_distance`: `query` has an average position between 4 and 20, and at least 100 impressions in
      any 28 days.
    - `ctr_gap`: `query` ranks near the top and gets a tenth of the clicks usual there; `mild_ctr_gap`: less
      than half.
    - `intermittent`: `query` and `pages[0]` rank low; 60 days with impressions alternate with 60 without.

    `curve` is how its traffic changes over time (`curves`).
    """

    pattern: Literal[
        "decay", "cannibalisation", "striking_distance", "ctr_gap", "mild_ctr_gap", "intermittent"
    ]
    query: str | None
    pages: tuple[str, ...]
    curve: int = STEADY
