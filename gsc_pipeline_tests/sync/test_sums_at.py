"""Sums of rows at the keys of totals."""

from __future__ import annotations

import pyarrow as pa
import pytest

from gsc_pipeline.lake.encoding import encoded
from gsc_pipeline.sync.sums_at import SumsAt

KEYS = ("page", "country")
TOTALS = pa.table({"page": ["/a", "/a", "/b", "/b", "/c"], "country": ["usa", "deu", "usa", "fra", "fra"]})


def rows(*known: tuple[str, str, int | None]) -> pa.Table:
    page, country, clicks = zip(*known, strict=True)
    return pa.table({"page": page, "country": country, "clicks": pa.array(clicks, pa.int64())})


@pytest.mark.parametrize("names", [(), KEYS], ids=["plain", "encoded"])
def test_rows_of_several_chunks_are_summed_in_the_order_of_the_totals(names: tuple[str, ...]) -> None:
    chunks = (
        rows(("/b", "usa", 4), ("/a", "deu", 2), ("/a", "usa", 1)),
        rows(("/a", "deu", 8), ("/b", "usa", None)),
    )
    found = SumsAt(pa.concat_tables([encoded(chunk, names) for chunk in chunks]), TOTALS, KEYS)
    assert found.sums("clicks").tolist() == [1, 10, 4, 0, 0]
    assert not found.has_others("clicks")


@pytest.mark.parametrize(
    "key", [("/d", "usa"), ("/b", "deu"), ("/a", "gbr"), ("/c", "gbr"), ("/d", "gbr")], ids="-".join
)
def test_a_key_that_the_totals_lack_is_summed_nowhere(key: tuple[str, str]) -> None:
    found = SumsAt(rows((*key, 5), ("/a", "usa", 1)), TOTALS, KEYS)
    assert found.sums("clicks").tolist() == [1, 0, 0, 0, 0]
    assert found.has_others("clicks")
    assert not SumsAt(rows((*key, 0)), TOTALS, KEYS).has_others("clicks")


def test_there_may_be_no_rows_and_no_totals() -> None:
    assert SumsAt(rows(("/a", "usa", 1)).slice(0, 0), TOTALS, KEYS).sums("clicks").tolist() == [0] * 5
    found = SumsAt(rows(("/a", "usa", 1)), TOTALS.slice(0, 0), KEYS)
    assert found.sums("clicks").tolist() == []
    assert found.has_others("clicks")
