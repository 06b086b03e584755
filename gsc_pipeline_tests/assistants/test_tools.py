"""What the tools answer: the lake's numbers, how current they are, and what was left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from gsc_pipeline.assistants.messages import Limits, Request, Start, Statement
from gsc_pipeline.assistants.query_pool import QueryPool
from gsc_pipeline.assistants.sandbox import Sandbox
from gsc_pipeline.days import ONE_DAY
from gsc_pipeline.insights.tables import read_ranked
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import DAILY_PERFORMANCE, INSIGHTS, PROPERTIES, TABLES
from gsc_pipeline.lake.sql import connect
from gsc_pipeline.report.data import report_data
from gsc_pipeline_tests.assistants.served import DAYS, FOREIGN, Assistant, Served, in_process
from gsc_pipeline_tests.world import World

NAMES = ["list_workspaces", "describe_tables", "query", "insight", "status", "compare", "report"]


def rows(served: Served, sql: str) -> list[tuple[Any, ...]]:
    """The result of SQL over the whole lake."""
    with connect(served.world.lake) as connection:
        found: list[tuple[Any, ...]] = connection.execute(sql).fetchall()
        return found


def test_every_tool_only_reads_is_described_and_has_a_schema_of_its_answer(local: Assistant) -> None:
    tools = local.portal.call(local.client.list_tools).tools
    assert [tool.name for tool in tools] == NAMES
    for tool in tools:
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint
        assert tool.annotations.destructive_hint is False
        assert tool.input_schema["additionalProperties"] is False
        assert len(tool.description or "") > 80
        assert "freshness" in (tool.output_schema or {})["properties"]


@pytest.mark.parametrize(
    ("tool", "arguments", "error"),
    [
        ("status", {"workspace": "acme", "site": 1}, "unknown argument site: expected workspace"),
        ("query", {"name": "acme"}, "argument sql: Field required; unknown argument name: expected sql"),
        ("query", {"sql": "SELECT 1", "a\nb": None}, r"unknown argument a\nb: expected sql, limit"),
        ("query", {"sql": None}, "argument sql: Input should be a valid string"),
        ("query", {"sql": "SELECT 1", "limit": 0}, "argument limit: Input should be greater than"),
    ],
)
def test_a_wrong_argument_is_named_in_one_line(
    local: Assistant, tool: str, arguments: dict[str, Any], error: str
) -> None:
    reply = local.call(tool, **arguments)
    assert reply.is_error
    assert reply.text.startswith(f"Error executing tool {tool}: {error}")
    assert "\n" not in reply.text
    assert "http" not in reply.text


def test_a_client_may_send_null_for_what_it_leaves_out_and_an_argument_where_none_is_known(
    local: Assistant,
) -> None:
    assert local.call("list_workspaces", random_string="").data == local.call("list_workspaces").data
    assert local.call("query", sql="SELECT 1", limit=None).data["rows"] == [[1]]
    assert not local.call("describe_tables", tables=None).is_error


def test_resources_document_every_table_and_column(local: Assistant) -> None:
    listed = local.portal.call(local.client.list_resources).resources
    assert [str(one.uri) for one in listed] == [f"gsc://docs/{n}" for n in ("rules", "tables", "insights")]
    text = "".join(
        content.text
        for one in listed
        for content in local.portal.call(local.client.read_resource, str(one.uri)).contents
    )
    for table in TABLES:
        assert f"## {table.name}\n" in text
        for name in table.schema.names:
            assert f"`{name}`" in text


def test_notes_of_others_are_not_served(local: Assistant) -> None:
    found = local.query("SELECT title FROM annotations WHERE source = 'yours' ORDER BY title")
    assert [row[0] for row in found.data["rows"]] == ["For acme", "For all"]
    shipped = local.query("SELECT count(*) FROM annotations WHERE source = 'shipped'")
    assert shipped.data["rows"][0][0] > 20


def test_properties_that_a_shared_credential_sees_are_not_served(served: Served) -> None:
    sees_both = pa.Table.from_pylist(
        [
            {**dict.fromkeys(PROPERTIES.schema.names), **row}
            for row in (
                {"workspace": "acme", "site_url": "sc-domain:acme.com"},
                {"workspace": "acme", "site_url": FOREIGN},
            )
        ],
        schema=pa.schema([one.with_nullable(True) for one in PROPERTIES.schema]),
    )
    lake = Lake(f"{served.world.lake.uri}-of-one-credential")
    write_deltalake(lake.table_uri(PROPERTIES), sees_both, partition_by=list(PROPERTIES.partition_by))
    sandbox = Sandbox(Start.of(lake.uri, [served.acme], Limits()))
    answer = sandbox.answer(Request((Statement("SELECT site_url FROM properties", 10),)))
    assert [row for result in answer.results for row in result.rows] == [["sc-domain:acme.com"]]


def test_every_answer_says_how_current_it_is(local: Assistant, served: Served) -> None:
    period = {"start": "2026-11-08", "end": "2026-11-14"}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("list_workspaces", {}),
        ("describe_tables", {}),
        ("query", {"sql": "SELECT 1"}),
        ("insight", {"name": "daily_performance", "workspace": "acme"}),
        ("status", {"workspace": "acme"}),
        ("compare", {"workspace": "acme", "metric": "clicks", "dimension": "total", **period}),
        ("report", {"workspace": "acme"}),
    ]
    final = "SELECT max(data_date)::TEXT FROM sync_ledger WHERE workspace = 'acme' AND status = 'final'"
    for tool, arguments in calls:
        freshness = local.call(tool, **arguments).data["freshness"]
        assert freshness["workspaces"] == 1
        assert freshness["final_up_to"] == rows(served, final)[0][0]
        assert freshness["last_complete_sync"] == "2026-11-21T20:00:00Z"
        assert freshness["provisional_days"] == 2
        assert freshness["notes"] == ["provisional days: 2. Their numbers may still rise"]


def test_list_workspaces_names_the_served_ones_only(local: Assistant, served: Served) -> None:
    (listed,) = local.call("list_workspaces").data["workspaces"]
    assert (listed["id"], listed["properties"]) == ("acme", ["sc-domain:acme.com"])
    with in_process(served, Limits(), served.acme, served.globex) as both:
        reply = both.call("list_workspaces")
        assert [one["id"] for one in reply.data["workspaces"]] == ["acme", "globex"]
        assert reply.data["freshness"]["provisional_days"] == 4
        found = both.query("SELECT DISTINCT workspace FROM sync_runs ORDER BY ALL")
        assert found.data["rows"] == [["acme"], ["globex"]]


def test_describe_tables_lists_tables_and_the_columns_of_the_named_ones(local: Assistant) -> None:
    every = local.call("describe_tables").data["tables"]
    assert [one["name"] for one in every] == [*(table.name for table in TABLES), "ExportLog"]
    assert not any(one["columns"] for one in every)
    (ledger,) = local.call("describe_tables", tables=["sync_ledger"]).data["tables"]
    assert ledger["columns"][0]["meaning"]
    repeated = local.call("describe_tables", tables=["sync_ledger", "sync_runs"] * 1000).data["tables"]
    assert [one["name"] for one in repeated] == ["sync_ledger", "sync_runs"]


def test_a_query_returns_as_many_rows_as_asked_for_and_says_if_there_are_more(local: Assistant) -> None:
    sql = "SELECT data_date FROM sync_ledger ORDER BY ALL"
    some, every = local.query(sql, limit=DAYS - 1), local.query(sql, limit=DAYS)
    assert (len(some.data["rows"]), some.data["rows_left_out"]) == (DAYS - 1, True)
    assert (len(every.data["rows"]), every.data["rows_left_out"]) == (DAYS, False)


def test_a_query_may_join_spellings_by_their_canonical_form(local: Assistant) -> None:
    texts = "(VALUES ('Running Shoes'), ('shoes-running')) AS texts(text)"
    sql = f"SELECT DISTINCT canonical_query(text) FROM {texts}"
    assert local.call("query", sql=sql).data["rows"] == [["running shoe"]]


def test_no_answer_has_more_rows_than_the_server_allows(local: Assistant) -> None:
    reply = local.query("SELECT * FROM range(1000)", limit=10**9)
    assert (len(reply.data["rows"]), reply.data["rows_left_out"]) == (200, True)


def test_an_answer_has_a_limited_number_of_characters(local: Assistant) -> None:
    reply = local.query("SELECT repeat('x', 1000) FROM range(1000)", limit=200)
    assert 40 <= len(reply.data["rows"]) <= 60
    assert reply.data["rows_left_out"]
    (one,) = local.query("SELECT repeat('x', 1000000)").data["rows"]
    assert len(one[0]) < 3000
    assert one[0].endswith("…")


def test_texts_of_strangers_are_values_and_never_in_an_error(local: Assistant) -> None:
    listed = local.query("SELECT query FROM searchdata_site_impression WHERE query <> '' LIMIT 1")
    (query,) = listed.data["rows"][0]
    for sql in (
        "SELECT error(query) FROM searchdata_site_impression WHERE query <> ''",
        "SELECT CAST(query || 'x' AS INTEGER) FROM searchdata_site_impression WHERE query <> ''",
        "SELECT strptime(query, '%Y') FROM searchdata_site_impression WHERE query <> ''",
        "SELECT timezone(query, now()) FROM searchdata_site_impression WHERE query <> ''",
    ):
        reply = local.query(sql)
        assert reply.is_error
        assert str(query) not in reply.text


@pytest.mark.parametrize(
    ("dimension", "column", "table", "where"),
    [
        ("query", "query", "searchdata_site_impression", "NOT is_anonymized_query"),
        ("page", "url", "searchdata_url_impression", "true"),
        ("country", "country", "searchdata_site_impression", "true"),
        ("device", "device", "searchdata_site_impression", "true"),
        ("property", "site_url", "searchdata_site_impression", "true"),
        ("total", "'total'", "searchdata_site_impression", "true"),
    ],
)
def test_compare_adds_up_what_the_tables_have(
    local: Assistant, served: Served, dimension: str, column: str, table: str, where: str
) -> None:
    reply = local.call(
        "compare",
        workspace="acme",
        metric="clicks",
        dimension=dimension,
        start="2026-11-11",
        end="2026-11-14",
        limit=200,
    )

    def clicks(start: str, end: str) -> dict[Any, int]:
        sql = f"""SELECT {column}, sum(clicks)::BIGINT FROM {table} WHERE workspace = 'acme' AND {where}
                  AND data_date BETWEEN '{start}' AND '{end}' GROUP BY ALL"""
        return dict(rows(served, sql))

    now, before = clicks("2026-11-11", "2026-11-14"), clicks("2026-11-07", "2026-11-10")
    assert {row[0]: (row[1], row[2]) for row in reply.data["rows"]} == {
        item: (now.get(item, 0), before.get(item, 0)) for item in now | before
    }
    changes = [abs(row[3]) for row in reply.data["rows"]]
    assert changes == sorted(changes, reverse=True)
    assert reply.data["is_comparable"]
    assert reply.data["period"]["final_days"] == 4
    totals = reply.data["total"]["clicks"], reply.data["total_against"]["clicks"]
    if dimension == "query":
        assert totals[0] == sum(now.values()) + reply.data["unlisted_clicks"]
    else:
        assert totals == (sum(now.values()), sum(before.values()))


def test_compare_says_that_days_are_provisional_or_missing(local: Assistant, served: Served) -> None:
    world = served.world
    reply = local.call(
        "compare",
        workspace="acme",
        metric="position",
        dimension="day",
        start=str(world.today - 2 * ONE_DAY),
        end=str(world.today),
        against=str(world.today - 40 * ONE_DAY),
    )
    assert not reply.data["is_comparable"]
    assert reply.data["period"] == {
        "start": "2026-11-19", "end": "2026-11-21", "days": 3,
        "final_days": 0, "provisional_days": 2, "cut_days": 0, "missing_days": 1,
    }  # fmt: skip
    assert reply.data["against"]["missing_days"] == 3
    assert [row[0] for row in reply.data["rows"]] == ["2026-11-19", "2026-11-20"]


def test_an_insight_has_the_stored_rows_in_their_order(local: Assistant, served: Served) -> None:
    reply = local.call("insight", name="daily_performance", workspace="acme", limit=3)
    stored = read_ranked(served.world.lake, DAILY_PERFORMANCE, "acme")
    columns = [one["name"] for one in reply.data["columns"]]
    assert [row[columns.index("clicks")] for row in reply.data["rows"]] == stored["clicks"].tolist()[:3]
    assert (reply.data["rows_left_out"], reply.data["rows_in_all"]) == (True, len(stored))
    for table in INSIGHTS:
        assert not local.call("insight", name=table.name, workspace="acme").is_error


def test_the_report_has_the_figures_of_the_clients_page(local: Assistant, served: Served) -> None:
    reply = local.call("report", workspace="acme")
    data = report_data(served.world.lake, served.acme, now=served.world.now)
    assert reply.data["figures"]["clicks"] == data.figures.totals.clicks
    assert reply.data["last_day"] == str(data.figures.last)
    assert reply.data["provisional_from"] == str(data.provisional_from)
    assert [one["title"] for one in reply.data["findings"]][:2] == [
        "Within striking distance",
        "Seen, but not clicked",
    ]
    assert FOREIGN not in reply.text


def test_a_commit_is_visible_to_the_next_query(tmp_path: Path) -> None:
    with World.serving(tmp_path) as world:
        acme = world.workspace()
        pool = QueryPool(Start(world.lake.uri, (acme.id,), Limits()))
        count = [Statement("SELECT count(*) FROM sync_ledger", 1)]
        try:
            for days in (0, 1, 3):
                if days:
                    world.sync(acme, world.last(days))
                assert pool.run(count)[0].rows == [[days]]
        finally:
            pool.close()
