"""How tables look in Dagster's UI: a lake table's columns, and rows as an event's or a check's metadata."""

from collections.abc import Iterable, Sequence

import dagster as dg

from gsc_pipeline.lake.schemas import TableSpec


def column_schema(table: TableSpec) -> dg.TableSchema:
    """The table's columns as the UI lists them."""
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
    """Rows as a table of an event's or a check's metadata; what Dagster has no type for becomes text.

    Without rows there are no columns either: Dagster keeps every result of a check for good, and most of a
    good one would be the names of columns.
    """
    records = [dg.TableRecord(dict(zip(columns, map(_cell, row), strict=True))) for row in rows]
    named = [dg.TableColumn(name) for name in columns] if records else []
    return dg.MetadataValue.table(records, schema=dg.TableSchema(named))


def _cell(value: object) -> str | int | float | bool | None:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
