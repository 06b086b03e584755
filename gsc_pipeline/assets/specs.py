"""How a table of the lake is shown in Dagster's UI: its columns, with types and descriptions."""

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
