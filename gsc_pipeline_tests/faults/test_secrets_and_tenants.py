"""No secret leaves its place, whatever goes wrong; no workspace reaches another's rows."""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gsc_pipeline.days import ONE_DAY, utc_now
from gsc_pipeline.defs.jobs import TICK_TAG, run_tags
from gsc_pipeline.lake.lake import Lake, LakeError
from gsc_pipeline.lake.schemas import (
    SITE_IMPRESSION,
    STANDING_FAILURES,
    SYNC_LEDGER,
    SYNC_RUNS,
    TABLES,
    URL_IMPRESSION,
)
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.settings import ConfigurationError
from gsc_pipeline.simulator import Call, Reply, SyntheticProperty, google_error, token_error
from gsc_pipeline.workspaces.registry import load_workspaces
from gsc_pipeline_tests.credentials import authorized_user_info
from gsc_pipeline_tests.faults.hostile import (
    ANSWERS,
    FORMS,
    OPAQUE_TOKEN,
    Hostile,
    hostile_server,
    in_base64,
)
from gsc_pipeline_tests.monitoring.test_http import visit
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import World

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ACCESS_TOKEN = "ya29.simulated-"
"""How every access token of the simulator begins."""
ECHOED = f"Authorization: Bearer {ACCESS_TOKEN}echoed"
CLIENT_SECRET, REFRESH_TOKEN = "GOCSPX-canary-secret", "1//canary-refresh-token"
BROKEN_KEY = "MIIcanarykeythatisbroken"
PAGE = Reply(
    403, f"<html><body>Denied. You sent: {ECHOED}</body></html>".encode(), {"content-type": "text/html"}
)
HEARTBEAT, PROXY_PASSWORD = "5f2c8e1a-heartbeat-canary", "proxy-canary-w0rd"
ECHOES = tuple(f"echo-{name}" for name in FORMS)
"""Workspaces whose opaque token the API repeats, in each form."""
HOSTILE = tuple(f"at-{name}" for name in ANSWERS if name != "token")
"""Workspaces whose token endpoint repeats their assertion."""
IDS = ("good", "badkey", "revoked", "forbidden", "html", "json", "proxied", *ECHOES, *HOSTILE)


def site(id_: str) -> str:
    return f"sc-domain:{id_}.example"


def misfortunes(call: Call) -> Reply | None:
    """Failures whose texts repeat secrets, as a careless server or proxy may."""
    if call.kind == "token" and call.body.get("refresh_token") == REFRESH_TOKEN:
        told = f"Token {REFRESH_TOKEN} of a client with {CLIENT_SECRET} has been revoked."
        return token_error("invalid_grant", told)
    answers = {
        site("forbidden"): google_error(403, "forbidden", "User does not have sufficient permission."),
        site("html"): PAGE,
        site("json"): google_error(403, "forbidden", f"Denied to '{ECHOED}'."),
    }
    for name, form in FORMS.items():
        told = f"Denied to '{form(OPAQUE_TOKEN)}'."
        answers[site(f"echo-{name}")] = google_error(403, form(OPAQUE_TOKEN)[:90], told)
    return answers.get(call.site_url or "") if call.kind == "query" else None


@pytest.fixture(scope="module")
def hostile() -> Iterator[Hostile]:
    with hostile_server() as hostile:
        yield hostile


@pytest.fixture(scope="module")
def synced(
    tmp_path_factory: pytest.TempPathFactory, hostile: Hostile
) -> Iterator[tuple[World, dict[str, str]]]:
    """A world in which every command has run: one workspace succeeds, the others fail."""
    properties = [SyntheticProperty(site(id_), rows_a_day=5, plants=False) for id_ in IDS]
    folder = tmp_path_factory.mktemp("secrets")
    with World.serving(folder, properties, now=utc_now()) as world:
        world.faults.append(misfortunes)
        env = environment(world, hostile)
        out = folder / "printed"
        out.mkdir()
        run(env, out / "sync", "gsc", "sync", "--json", "--days", "2", code=0)
        run(env, out / "words", "gsc", "sync", "revoked", "html", "--days", "2", code=1)
        run(env, out / "status", "gsc", "status", "--json", code=0)
        tags = {TICK_TAG: "2026-11-20T06:00:00+00:00", **run_tags(IDS, world.last(3))}
        job = ["dagster", "job", "execute", "-m", "gsc_pipeline.definitions", "-j", "gsc_sync"]
        run(env, out / "dagster", *job, "--tags", json.dumps(tags), code=1)

        def ask(get: Any) -> None:
            for page in ("/metrics", "/health/sync"):
                (out / page.rpartition("/")[2]).write_bytes(get(page).data)

        visit(world, list(load_workspaces(Path(env["GSC_WORKSPACES_FILE"]))), ask, by_workspace=True)
        yield world, env


def environment(world: World, hostile: Hostile) -> dict[str, str]:
    home = world.folder / "home"
    home.mkdir()
    (home / "dagster.yaml").symlink_to(ROOT / "dagster.yaml")
    entries: list[dict[str, Any]] = [{"id": id_, "properties": [site(id_)]} for id_ in IDS]
    entries[2]["credentials"] = {"oauth_env": "CANARY_OAUTH"}
    settings = world.environment(*entries)
    broken = f"-----BEGIN PRIVATE KEY-----\n{BROKEN_KEY}\n-----END PRIVATE KEY-----\n"
    change_key(world, "badkey", private_key=broken)
    change_key(world, "proxied", token_uri="https://127.0.0.1:9/token")
    for id_ in ECHOES:
        change_key(world, id_, token_uri=f"{hostile.url}/token")
    for id_ in HOSTILE:
        change_key(world, id_, token_uri=f"{hostile.url}/{id_.removeprefix('at-')}")
    oauth = authorized_user_info(base_url=world.url)
    oauth |= {"client_secret": CLIENT_SECRET, "refresh_token": REFRESH_TOKEN}
    return {
        **os.environ,
        **settings,
        "CANARY_OAUTH": json.dumps(oauth),
        "DAGSTER_HOME": str(home),
        "GSC_AUDIT_LOG": str(world.folder / "logs" / "audit.log"),
        "GSC_LOG_LEVEL": "debug",
        "GSC_LOG_FORMAT": "json",
        "GSC_HEARTBEAT_URL": f"http://127.0.0.1:9/{HEARTBEAT}",
        "https_proxy": f"http://anna:{PROXY_PASSWORD}@127.0.0.1:9",
        "no_proxy": "",
    }


def change_key(world: World, id_: str, **changes: str) -> None:
    file = world.folder / f"{id_}-key.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def run(env: dict[str, str], into: Path, program: str, *arguments: str, code: int) -> None:
    """Run a command and save its output."""
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(command, env=env, check=False, capture_output=True, text=True, timeout=HANG_SECONDS)
    into.with_suffix(".out").write_text(done.stdout, encoding="utf-8")
    into.with_suffix(".err").write_text(done.stderr, encoding="utf-8")
    assert done.returncode == code, done.stderr[-3000:]


COMMON = {in_base64("x" * 30)[:16]}
"""What every text in base64 begins with here."""


def secrets(world: World, hostile: Hostile) -> set[str]:
    """Texts that must be nowhere: parts of the keys, tokens, assertions and passwords, in every form."""
    key = json.loads((world.folder / "good-key.json").read_text(encoding="utf-8"))["private_key"]
    lines = [line for line in key.splitlines() if line and not line.startswith("-----")]
    # The header of an assertion is no secret.
    assertions = [one.partition(".")[2] for one in hostile.received if one.startswith("ey")]
    assert len(assertions) > 20
    whole = [OPAQUE_TOKEN, CLIENT_SECRET, REFRESH_TOKEN, BROKEN_KEY, HEARTBEAT, PROXY_PASSWORD, *assertions]
    parts = {
        form(secret)[start : start + 16]
        for secret in whole
        for form in (str, in_base64, FORMS["percent"], FORMS["escapes"])
        for start in range(0, len(form(secret)), 16)
    }
    return {*lines, ACCESS_TOKEN, *(part for part in parts if len(part) >= 12 and part not in COMMON)}


def written(folder: Path) -> Iterator[tuple[str, str]]:
    """All that was written: every file, and every cell of every database, decompressed where needed."""
    for file in sorted(folder.rglob("*")):
        if not file.is_file() or file.name.endswith("-key.json"):
            continue
        raw = file.read_bytes()
        yield str(file.relative_to(folder)), raw.decode("utf-8", "replace")
        if raw.startswith(b"SQLite format 3"):
            yield from ((f"{file.name}: {table}", text) for table, text in _cells(file))


def _cells(file: Path) -> Iterator[tuple[str, str]]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    if isinstance(value, bytes):
                        with suppress(zlib.error):
                            value = zlib.decompress(value)
                    yield table, value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


@pytest.mark.soak
def test_no_secret_is_in_any_file_database_log_or_page(
    synced: tuple[World, dict[str, str]], hostile: Hostile
) -> None:
    world, env = synced
    names, hidden = set(), secrets(world, hostile)
    for name, text in written(world.folder):
        names.add(name.split(":")[0])
        for shown in {text, "".join(text.replace("\\n", "").replace("\\r", "").split())}:
            assert not [secret for secret in hidden if secret in shown], name
    # The search covered the files that matter.
    for found in ("state.db", "index.db", "runs.db", "audit.log", "sync.err", "metrics", "status.out"):
        assert any(name.endswith(found) for name in names), found
    assert any("storage" in name and name.endswith((".err", ".out")) for name in names), "no compute log"
    assert CLIENT_SECRET in env["CANARY_OAUTH"]


@pytest.mark.soak
def test_no_secret_is_in_any_table_and_every_failure_is(
    synced: tuple[World, dict[str, str]], hostile: Hostile
) -> None:
    world, _ = synced
    hidden = secrets(world, hostile)
    for table in TABLES:
        text = json.dumps(world.lake.read(table).to_pylist(), default=str)
        assert not [secret for secret in hidden if secret in text], table.name
    causes = {row["workspace"]: row["cause"] for row in world.lake.read(STANDING_FAILURES).to_pylist()}
    assert causes.keys() == set(IDS) - {"good"}
    assert "holds no usable private key" in causes["badkey"]
    assert "invalid_grant" in causes["revoked"]
    assert "403" in causes["html"]
    assert "no answer from the token endpoint" in causes["at-status-line"]
    assert "connect to proxy" in causes["proxied"]
    assert "[secret]" in causes["at-status-field"]
    for id_ in (*ECHOES, "at-chunks", "at-reasons", "at-error"):
        assert "[secret]" in causes[id_], causes[id_]
    for table in (SYNC_RUNS, SYNC_LEDGER):
        assert set(world.lake.read(table)["workspace"].to_pylist()) == set(IDS)


def test_rows_of_another_workspace_are_refused_and_nothing_is_written(world: World) -> None:
    world.sync(world.workspace("acme"))
    world.sync(world.workspace("globex"))
    day = world.last(3).start
    target = Target("acme", "sc-domain:acme.com", "WEB", (day,))
    for table in (SITE_IMPRESSION, URL_IMPRESSION):
        before = world.lake.read(table)
        foreign = world.lake.read(table, workspace="globex")
        own = world.lake.read(table, workspace="acme")
        for rows in (
            foreign,
            pa.concat_tables([own.filter(pa.compute.equal(own["data_date"], day)), foreign]),
        ):
            with pytest.raises(LakeError, match=table.name):
                world.lake.replace(table, target, rows.cast(table.schema))
        assert sorted(map(repr, world.lake.read(table).to_pylist())) == sorted(map(repr, before.to_pylist()))


def test_a_workspaces_id_in_a_predicate_matches_no_other(world: World) -> None:
    world.sync(world.workspace("acme"))
    before = world.lake.read(SITE_IMPRESSION).num_rows
    day = world.last(3).start
    for id_ in ("x' OR '1'='1", "x' OR workspace='acme"):
        target = Target(id_, "sc-domain:acme.com", "WEB", (day, day + ONE_DAY))
        world.lake.replace(SITE_IMPRESSION, target, SITE_IMPRESSION.schema.empty_table())
    assert world.lake.read(SITE_IMPRESSION).num_rows == before
    assert world.lake.read(SITE_IMPRESSION, workspace="acme").num_rows == before


@pytest.mark.parametrize("id_", ["../acme", "..", "a/b", "a\\b", "/acme", ".acme", "acme\n", "a|b", "a%2fb"])
def test_an_id_that_could_build_a_path_is_refused(tmp_path: Path, id_: str) -> None:
    entry = {"id": id_, "properties": ["sc-domain:a.com"], "credentials": {"service_account_file": "k.json"}}
    file = tmp_path / "workspaces.yaml"
    file.write_text(json.dumps({"workspaces": [entry]}), encoding="utf-8")
    with pytest.raises(
        ConfigurationError, match=r"workspaces\[0\].id: .*expected lower-case letters, digits"
    ):
        load_workspaces(file)


def test_a_sync_reads_and_writes_under_its_own_id_only(world: World) -> None:
    """Two workspaces with one property and one lake: each has a copy of its own."""
    acme = world.workspace("acme")
    twin = dataclasses.replace(world.workspace("twin"), name="acme")
    world.sync(acme)
    world.sync(twin)
    for table in (SITE_IMPRESSION, URL_IMPRESSION, SYNC_LEDGER, SYNC_RUNS):
        assert set(Lake(world.lake.uri).read(table, workspace="twin")["workspace"].to_pylist()) == {"twin"}
