"""Descriptions, columns and tables, in the form in which Dagster's UI shows them."""

from collections.abc import Iterable, Sequence

import dagster as dg

from gsc_pipeline.lake.schemas import INSIGHTS, TableSpec


def about(what: str, *, made_by: str, partition: str = "", table: TableSpec | None = None) -> str:
    """An asset's description in Markdown: what it is, what makes it, its partitions, how to query it."""
    parts = [what, f"**Made by** {made_by}"]
    if partition:
        parts.append(f"**A partition** is {partition}")
        parts.append("**When each workspace was last up to date:** *Checks*, `up_to_date`.")
    if table:
        page = "insights" if table in INSIGHTS else "tables"
        parts.append(
            f"**Query it:** `gsc query \"SELECT * FROM {table.name} WHERE workspace = 'acme' LIMIT 10\"`. "
            f"More in docs/{page}.md."
        )
    return "\n\n".join(parts)


def place(table: TableSpec, lake: str) -> dict[str, str]:
    """The name and address of an asset's table."""
    return {"dagster/table_name": table.name, "dagster/uri": f"{lake.rstrip('/')}/{table.name}"}


def column_schema(table: TableSpec) -> dg.TableSchema:
    """The table's columns with their types and descriptions."""
    return dg.TableSchema(
        [
            dg.TableColumn(
                column.name,
                str(column.type),
                description=column.metadata[b"description"].decode(),
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in table.schema
        ]
    )


def table_metadata(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> dg.TableMetadataValue:
    """Rows as a table in the metadata of an event or a check. Values without a Dagster type become text.

    A table without rows has no columns, because they would be most of the size of a passed check's event.
    """
    records = [dg.TableRecord(dict(zip(columns, map(_cell, row), strict=True))) for row in rows]
    named = [dg.TableColumn(name) for name in columns] if records else []
    return dg.MetadataValue.table(records, schema=dg.TableSchema(named))


def _cell(value: object) -> str | int | float | bool | None:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
