"""What a table is, and the columns that several tables share.

Belongs here: `TableSpec` and the shared columns, each with its description (the docs and Dagster's UI show
these). Does not: any one table.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

PARTITION_COLUMNS = ("workspace", "month")


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table: its name, what a row is, the columns that identify a row, and its Arrow schema.

    `partition_by` are the columns that each file has one value of. A table of few rows has fewer of them:
    whoever reads all workspaces opens every file, and each commit takes longer the more files there are.
    """

    name: str
    description: str
    keys: tuple[str, ...]
    schema: pa.Schema
    partition_by: tuple[str, ...] = PARTITION_COLUMNS


def column(name: str, type_: pa.DataType, description: str, *, nullable: bool = False) -> pa.Field:
    """A column with its description."""
    return pa.field(name, type_, nullable=nullable, metadata={"description": description})


TEXT, COUNT, FLAG, DAY, DECIMAL = pa.string(), pa.int64(), pa.bool_(), pa.date32(), pa.float64()
MOMENT = pa.timestamp("us", tz="UTC")

WORKSPACE = column("workspace", TEXT, "The workspace's id in the workspaces file")
MONTH = column("month", TEXT, "The month of data_date, YYYY-MM")
DATA_DATE = column("data_date", DAY, "The day, in Pacific time, as Search Console counts")
SITE_URL = column("site_url", TEXT, "The property, as Search Console spells it")
SEARCH_TYPE = column("search_type", TEXT, "WEB IMAGE VIDEO NEWS DISCOVER GOOGLE_NEWS")
QUERY = column("query", TEXT, "What people searched for; empty when anonymised, and for feeds")
IS_ANONYMIZED_QUERY = column(
    "is_anonymized_query", FLAG, "True for the row that holds what no listed query does"
)
COUNTRY = column("country", TEXT, "Lower-case ISO alpha-3; zzz where unknown")
DEVICE = column("device", TEXT, "DESKTOP MOBILE TABLET; null for Discover", nullable=True)
CLICKS = column("clicks", COUNT, "Clicks from search results")
GRAIN = column("grain", TEXT, "property (the whole property) or page: never sum the two")
URL_OF_PAGE_GRAIN = column(
    "url", TEXT, "The page's address; null at the grain of the property", nullable=True
)
SUM_POSITION = column(
    "sum_position",
    COUNT,
    "Sum over impressions of the position, counted from zero; null for feeds",
    nullable=True,
)
