"""`gsc sync` and `gsc status`, run as a user runs them."""

from __future__ import annotations

import json
import re
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from gsc_pipeline.bootstrap import Services
from gsc_pipeline.days import ONE_DAY, Window, pacific_today, utc_now
from gsc_pipeline.lake.schemas import (
    SITE_IMPRESSION,
    STANDING_FAILURES,
    SYNC_LEDGER,
    SYNC_RUNS,
    TableSpec,
)
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import Reply, SyntheticProperty
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.cut_days import PastCapOptions
from gsc_pipeline_tests.circuits import give_up
from gsc_pipeline_tests.cli.conftest import Gsc, Result
from gsc_pipeline_tests.replies import FORBIDDEN, all_queries
from gsc_pipeline_tests.soak import rest_in_soak
from gsc_pipeline_tests.world import World

OTHER: dict[str, Any] = {"id": "lost", "properties": ["sc-domain:lost.com"]}


def acme() -> dict[str, Any]:
    return {"id": "acme", "properties": ["sc-domain:acme.com"]}


def days_held(live: World) -> set[Any]:
    return set(live.lake.read(SITE_IMPRESSION)["data_date"].to_pylist())


def test_sync_reads_the_last_complete_days_and_shows_what_it_did(live: World, gsc: Gsc) -> None:
    done = gsc("sync", "--days", "3", env=live.environment())
    assert done.code == 0
    assert days_held(live) == {live.today - n * ONE_DAY for n in (1, 2, 3)}
    header, row, last = done.out.splitlines()
    assert header.split()[:3] == ["workspace", "outcome", "window"]
    assert row.split()[0] == "acme"
    assert "1 of 1 workspaces complete" in last
    assert "acme: 3 read, 0 unchanged" in done.err


def test_start_and_end_name_the_first_and_the_last_day(live: World, gsc: Gsc) -> None:
    first, last = live.today - 6 * ONE_DAY, live.today - 5 * ONE_DAY
    done = gsc("sync", "--start", str(first), "--end", str(last), env=live.environment())
    assert done.code == 0
    assert days_held(live) == {first, last}
    gsc("sync", "--start", str(live.today - ONE_DAY), env=live.environment())
    assert days_held(live) == {first, last, live.today - ONE_DAY}


def test_only_the_workspaces_named_are_synced(live: World, gsc: Gsc) -> None:
    env = live.environment(acme(), {"id": "globex", "properties": ["sc-domain:acme.com"]})
    assert gsc("sync", "globex", "--days", "1", env=env).code == 0
    assert set(live.lake.read(SITE_IMPRESSION)["workspace"].to_pylist()) == {"globex"}


def test_json_is_exactly_one_object_on_standard_output(live: World, gsc: Gsc) -> None:
    done = gsc("sync", "--days", "2", "--json", env=live.environment(acme(), dict(OTHER)))
    assert done.code == 0
    printed = json.loads(done.out)
    assert set(printed) == {"total_workspaces", "successes", "partial", "failures", "duration_ms"}
    assert printed["total_workspaces"] == 2
    (success,) = printed["successes"]
    assert success["workspace"] == "acme"
    assert (success["days_read"], success["days_unchanged"], success["days_failed"]) == (2, 0, 0)
    assert success["rows"] > 0
    assert success["calls"] == 1 + 2 * 4
    (failed,) = printed["failures"]
    assert failed["workspace"] == "lost"
    assert "403" in failed["reason"]
    assert "warning: lost:" in done.err


def test_a_failure_of_some_workspaces_warns_and_exits_with_0(live: World, gsc: Gsc) -> None:
    done = gsc("sync", "--days", "1", env=live.environment(acme(), dict(OTHER)))
    assert done.code == 0
    assert "warning: lost: sc-domain:lost.com (WEB)" in done.err
    assert "1 of 2 workspaces complete, 0 partial, 1 failed" in done.out


def test_a_failure_of_all_workspaces_exits_with_1_one_line_and_one_json_object(live: World, gsc: Gsc) -> None:
    live.faults.append(all_queries(FORBIDDEN))
    done = gsc("sync", "--days", "1", "--json", env=live.environment())
    assert done.code == 1
    assert json.loads(done.out)["successes"] == []
    assert [line for line in done.err.splitlines() if line.startswith("gsc: ")] == [done.err.splitlines()[-1]]


def test_full_reads_unchanged_days(live: World, gsc: Gsc) -> None:
    env = live.environment()
    gsc("sync", "--days", "2", env=env)
    again = json.loads(gsc("sync", "--days", "2", "--json", env=env).out)
    full = json.loads(gsc("sync", "--days", "2", "--full", "--json", env=env).out)
    assert again["successes"][0]["days_unchanged"] == 2
    assert full["successes"][0]["days_read"] == 2


def test_status_shows_what_is_held_and_what_fails(live: World, gsc: Gsc) -> None:
    env = live.environment(acme(), dict(OTHER), {"id": "new", "active": False, "properties": "all"})
    gsc("sync", "--days", "5", env=env)
    done = gsc("status", env=env)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[1].split()[:3] == ["acme", str(live.today - 5 * ONE_DAY), str(live.today - ONE_DAY)]
    assert any(line.startswith("new (inactive)") and line.endswith("never") for line in lines)
    (failing,) = lines[lines.index("Standing failures") + 2 :]
    assert failing.split()[:3] == ["lost", "sc-domain:lost.com", "WEB"]
    assert "add the credential as a user of the property" in failing
    printed = json.loads(gsc("status", "--json", env=env).out)
    states = {state["workspace"]: state for state in printed["workspaces"]}
    assert states["acme"]["final"] + states["acme"]["provisional"] == 5
    assert states["acme"]["clicks"] == sum(live.lake.read(SITE_IMPRESSION)["clicks"].to_pylist())
    assert states["lost"]["failed"] == 5
    assert [failure["times"] for failure in states["lost"]["failures"]] == [1]
    assert states["lost"]["last_good_sync"] is None


def test_a_token_endpoint_that_is_down_gets_one_call_of_a_person_and_status_shows_its_circuit(
    live: World, gsc: Gsc
) -> None:
    env = {**live.environment(acme(), {"id": "globex", "properties": "all"}), "GSC_API_ATTEMPTS": "9"}
    live.faults.append(lambda call: Reply(502, b"<html>") if call.kind == "token" else None)
    services = Services(load_settings(lake=live.lake.uri, api_url=live.url))
    with closing(services.store):
        guards = services.guards
        assert guards.token_breakers is not None
        for n in range(3):
            give_up(guards.token_breakers.at(f"{live.url}/token"), f"credential {n}")
    # Five attempts with one credential and one with the other open the circuit.
    for requests in (6, 7):
        done = gsc("sync", env=env)
        assert done.code == 1
        assert [call.kind for call in live.simulator.calls] == ["token"] * requests
    assert f"token endpoint {live.url}/token failed 6 calls in a row" in done.err
    assert "circuit open since" in done.err
    lines = gsc("status", env=env).out.splitlines()
    (row,) = lines[[line.startswith("Open circuits") for line in lines].index(True) + 2 :]
    assert row.startswith(f"token endpoint {live.url}/token")
    assert "the token endpoint answered 502" in row
    (circuit,) = json.loads(gsc("status", "--json", env=env).out)["left_alone"]
    assert (circuit["what"], circuit["workspaces"]) == (f"token endpoint {live.url}/token", 2)


def test_status_names_the_folders_worth_adding_as_properties(tmp_path: Path, gsc: Gsc) -> None:
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=600, filters_see="cut_rows")
    with World.serving(tmp_path, [prop], now=utc_now(), most_rows_a_day=300) as world:
        cut = SyncOptions(past_cap=PastCapOptions(calls=0, cut_rows=300))
        window = Window(world.today - 6 * ONE_DAY, world.today - 5 * ONE_DAY)
        world.sync(world.workspace(), window, cut)
        env = world.environment()
        text, printed = gsc("status", env=env).out, gsc("status", "--json", env=env).out
    (state,) = json.loads(printed)["workspaces"]
    found = {one["folder"]: one["impressions"] for one in state["worth_adding"]}
    assert found["https://www.acme.com/products/"] > 0
    assert all(folder in text for folder in found)


def test_status_of_a_missing_lake_says_never_and_creates_nothing(live: World, gsc: Gsc) -> None:
    done = gsc("status", env=live.environment())
    assert done.code == 0
    assert done.out.splitlines()[1].endswith("never")
    assert not (live.folder / "lake").exists()
    assert not (live.folder / "state.db").exists()


@pytest.mark.parametrize(
    "table", rest_in_soak([SYNC_LEDGER, SYNC_RUNS, STANDING_FAILURES]), ids=lambda table: table.name
)
def test_status_names_a_damaged_file_and_shows_the_data_of_the_others(
    live: World, gsc: Gsc, table: TableSpec
) -> None:
    lost = {"id": "acme", "properties": ["sc-domain:acme.com", "sc-domain:lost.com"]}
    env = live.environment(lost, {"id": "globex", "properties": ["sc-domain:acme.com"]})
    gsc("sync", "--days", "5", env=env)
    whole = json.loads(gsc("status", "--json", env=env).out)["workspaces"]
    file = Path(sorted(DeltaTable(live.lake.table_uri(table)).file_uris())[0])
    lost_days = pq.read_table(file)["status"].to_pylist().count("final") if table is SYNC_LEDGER else 0
    file.write_bytes(file.read_bytes()[:-10])
    done = gsc("status", env=env)
    assert done.code == 0
    warning = done.err.splitlines()[0]
    assert re.match(rf"gsc: warning: acme(, globex)?: {table.name} is damaged: ", warning)
    assert file.name in warning
    assert "gsc verify" in warning
    acme, globex = json.loads(gsc("status", "--json", env=env).out)["workspaces"]
    assert any(file.name in text for text in acme["damaged"])
    assert globex["final"] == whole[1]["final"]
    assert acme["final"] == whole[0]["final"] - lost_days


def test_status_names_a_property_for_as_long_as_it_is_missing_from_the_list(live: World, gsc: Gsc) -> None:
    env = live.environment({"id": "acme", "properties": "all"})
    gsc("sync", "--days", "2", env=env)
    shop = "https://shop.acme.com/"
    live.simulator.put(SyntheticProperty(shop, rows_a_day=20, readers={"somebody@else.com"}))
    for _ in range(2):
        assert "no longer among the properties" in gsc("sync", "--days", "2", env=env).err
        lines = gsc("status", env=env).out.splitlines()
        (failing,) = lines[lines.index("Standing failures") + 2 :]
        assert failing.split()[:2] == ["acme", shop]
    live.simulator.put(SyntheticProperty(shop, rows_a_day=20))
    gsc("sync", "--days", "2", env=env)
    assert "Standing failures" not in gsc("status", env=env).out


def entry(more: str = "", id_: str = "acme") -> str:
    return f"  - {{id: {id_}, properties: all, credentials: {{oauth_env: X}}{more}}}\n"


TODAY = pacific_today(utc_now())
BEFORE, LATER = str(TODAY - 4 * ONE_DAY), str(TODAY - 2 * ONE_DAY)

FILE_MISTAKES = {
    "bad YAML": ("workspaces: [\n", "not valid YAML"),
    "unknown search type": ("workspaces:\n" + entry(", search_types: [tv]"), "'tv'"),
    "duplicate id": ("workspaces:\n" + entry() + entry(), "workspaces[1].id: 'acme'"),
    "id with a capital": ("workspaces:\n" + entry(id_="Acme"), "'Acme'"),
    "id with a bar": ("workspaces:\n" + entry(id_="'a|b'"), "'a|b'"),
    "unknown key": ("workspaces:\n" + entry(", colour: red"), "colour: unknown key"),
}
ARGUMENT_MISTAKES = {
    "reversed dates": (["--start", LATER, "--end", BEFORE], "reversed"),
    "future dates": (["--start", BEFORE, "--end", str(TODAY)], "is not over in California"),
    "no date": (["--start", "yesterday"], "'yesterday': expected a date"),
    "an end alone": (["--end", BEFORE], "expected either --days, or --start"),
    "no days": (["--days", "0"], "0: expected 1 to 3660"),
    "too many days": (["--days", "1000000"], "1000000: expected 1 to 3660"),
    "unknown workspace": (["nobody"], "nobody: unknown workspace (known: acme)"),
    "unknown option": (["--nope"], "No such option: --nope"),
}
SETTING_MISTAKES = {
    "a lake that is nowhere": ({"GSC_LAKE": "foo://x"}, "GSC_LAKE: 'foo://x': expected a folder"),
    "a slash too few": ({"GSC_LAKE": "s3:/bucket"}, "GSC_LAKE: 's3:/bucket': expected a folder"),
    "no workspaces file": ({"GSC_WORKSPACES_FILE": "none.yaml"}, "none.yaml: cannot be read"),
    "a setting of the wrong kind": ({"GSC_AUTO_SYNC_DAYS": "many"}, "GSC_AUTO_SYNC_DAYS: 'many'"),
}


def assert_refused_in_one_line(done: Result, text: str, live: World) -> None:
    assert done.code == 2
    assert done.out == ""
    (line,) = done.err.splitlines()
    assert line.startswith("gsc: ")
    assert text in line
    assert not (live.folder / "lake").exists()
    assert not live.queries()


@pytest.mark.parametrize(("text", "line"), FILE_MISTAKES.values(), ids=FILE_MISTAKES)
def test_an_error_in_the_workspaces_file_is_one_clear_line(
    live: World, gsc: Gsc, text: str, line: str
) -> None:
    env = live.environment()
    Path(env["GSC_WORKSPACES_FILE"]).write_text(text, encoding="utf-8")
    assert_refused_in_one_line(gsc("sync", env=env), line, live)


@pytest.mark.parametrize(("arguments", "line"), ARGUMENT_MISTAKES.values(), ids=ARGUMENT_MISTAKES)
def test_an_error_in_the_arguments_is_one_clear_line(
    live: World, gsc: Gsc, arguments: list[str], line: str
) -> None:
    assert_refused_in_one_line(gsc("sync", *arguments, env=live.environment()), line, live)


@pytest.mark.parametrize(("variables", "line"), SETTING_MISTAKES.values(), ids=SETTING_MISTAKES)
def test_an_error_in_the_environment_is_one_clear_line(
    live: World, gsc: Gsc, variables: dict[str, str], line: str
) -> None:
    assert_refused_in_one_line(gsc("sync", env={**live.environment(), **variables}), line, live)


@pytest.mark.parametrize(
    ("credentials", "text"),
    [
        ({"service_account_file": "none.json"}, "none.json cannot be read (No such file or directory)"),
        ({"service_account_file": "workspaces.yaml"}, "is not a JSON key as Google issues it"),
        ({"service_account_env": "GSC_TEST_UNSET"}, "GSC_TEST_UNSET: the variable is not set"),
    ],
    ids=["missing file", "not a key", "missing variable"],
)
def test_a_credential_that_cannot_be_used_is_one_clear_line(
    live: World, gsc: Gsc, credentials: dict[str, str], text: str
) -> None:
    done = gsc("sync", "--days", "2", env=live.environment({**acme(), "credentials": credentials}))
    assert done.code == 1
    assert text in done.err.splitlines()[-1]
    assert "check the workspace's credentials entry" in done.err.splitlines()[-1]
    assert not days_held(live)


def test_an_api_that_cannot_be_reached_is_one_clear_line_that_names_it(live: World, gsc: Gsc) -> None:
    env = {**live.environment(), "GSC_API_URL": "http://127.0.0.1:9", "GSC_API_ATTEMPTS": "2"}
    done = gsc("sync", "--days", "2", env=env)
    assert done.code == 1
    last = done.err.splitlines()[-1]
    assert "no answer from http://127.0.0.1:9" in last
    assert "Connection refused" in last
    assert "check GSC_API_URL and the network" in last
    assert not days_held(live)


def test_a_lake_that_cannot_be_written_is_one_clear_line(live: World, gsc: Gsc) -> None:
    (live.folder / "lake").write_text("a file", encoding="utf-8")
    done = gsc("sync", "--days", "1", "--json", env=live.environment())
    assert done.code == 1
    assert "check GSC_LAKE" in done.err.splitlines()[-1]
    assert "check GSC_LAKE" in json.loads(done.out)["error"]


def test_a_later_sync_reads_only_changed_days(live: World, gsc: Gsc) -> None:
    live.now = live.now - timedelta(days=2)
    env = live.environment()
    gsc("sync", "--days", "6", env=env)
    live.now = live.now + timedelta(days=2)
    again = json.loads(gsc("sync", "--days", "6", "--json", env=env).out)["successes"][0]
    assert again["days_unchanged"] > 0
    assert again["days_read"] > 0
