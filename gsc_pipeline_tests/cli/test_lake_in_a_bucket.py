"""Every command prints the same for a lake in a bucket as for the same lake in a folder."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import urllib3

from gsc_pipeline.days import ONE_DAY, Window, utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import (
    INSIGHTS,
    SITE_IMPRESSION,
    SITEMAPS,
    SYNC_LEDGER,
    SYNC_RUNS,
    URL_IMPRESSION,
    TableSpec,
)
from gsc_pipeline.monitoring.metrics import metrics_text
from gsc_pipeline.monitoring.monitor import HealthMonitor
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.cli.conftest import Gsc, Result
from gsc_pipeline_tests.cli.test_serve_and_housekeeping import serving, status
from gsc_pipeline_tests.cluster.bucket import BucketServer, serving_bucket
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.soak import rest_in_soak
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import World, contents, sorted_rows

PROPERTY = SyntheticProperty("sc-domain:acme.com", rows_a_day=20, plants=False)
VOLATILE = r'"(seconds|duration_ms|last_read_at|started_at)": [^,}]+'
"""What differs between two runs of one command."""


@dataclass(frozen=True)
class Pair:
    """A lake in a folder, and a copy of it in the bucket."""

    world: World
    bucket: BucketServer
    folder: Lake
    copy: Lake

    def environment(self, lake: Lake) -> dict[str, str]:
        """The variables of a command that uses one of the two lakes."""
        state = str(self.world.folder / f"{lake is self.copy}.db")
        settings = {"GSC_LAKE": lake.uri, "GSC_STATE": state}
        return {**self.world.environment(), **self.bucket.environment, **settings}

    def both(self, gsc: Gsc, *arguments: str) -> tuple[Result, Result]:
        """The command's results over the folder and over the bucket, with the same name for both lakes."""
        found = []
        for lake in (self.folder, self.copy):
            done = gsc(*arguments, env=self.environment(lake))
            out, err = (
                re.sub(VOLATILE, r'"\1": 0', text.replace(lake.uri, "LAKE")) for text in (done.out, done.err)
            )
            found.append(Result(done.code, out, err))
        return found[0], found[1]


@pytest.fixture(scope="module")
def bucket() -> Iterator[BucketServer]:
    with serving_bucket() as server:
        yield server


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Ten weeks of a workspace, which a sync has looked at once."""
    begun = utc_now() - timedelta(minutes=1)
    with World.serving(tmp_path_factory.mktemp("original"), [PROPERTY], now=begun) as world:
        before = Window(world.today - 70 * ONE_DAY, world.today - 3 * ONE_DAY)
        fill(world.lake, "acme", PROPERTY, before, read_at=world.now - timedelta(hours=12))
        world.sync(world.workspace(), world.last(70))
        world.sync_more(world.workspace())
        for _ in range(4):
            world.now += timedelta(seconds=1)
            world.sync(world.workspace(), world.last(1))
        yield world


@pytest.fixture(scope="module")
def pair(original: World, bucket: BucketServer) -> Pair:
    """The lake and its copy, for commands that change nothing."""
    return Pair(original, bucket, original.lake, Lake(bucket.upload(Path(original.lake.uri), "original")))


def copied(original: World, bucket: BucketServer, folder: Path) -> Pair:
    """A further copy of the lake's folder, and a copy of that in the bucket."""
    return Pair(original, bucket, Lake(str(folder)), Lake(bucket.upload(folder, folder.parent.name)))


@pytest.fixture
def own(original: World, bucket: BucketServer, tmp_path: Path) -> Pair:
    """A lake and its copy that a test may change."""
    shutil.copytree(original.lake.uri, tmp_path / "lake")
    return copied(original, bucket, tmp_path / "lake")


@pytest.mark.parametrize(
    "arguments",
    rest_in_soak(
        [
            ["status", "--json"],
            ["verify", "--json"],
            ["query", "SELECT * FROM searchdata_url_impression ORDER BY ALL LIMIT 50", "--json"],
            ["status"],
            ["query", "SHOW TABLES"],
            ["query", "DESCRIBE sync_ledger", "--csv"],
            ["query", "SELECT * FROM nowhere"],
        ],
        first=3,
    ),
    ids=lambda arguments: " ".join(arguments)[:30],
)
def test_a_command_that_reads_prints_the_same(pair: Pair, gsc: Gsc, arguments: list[str]) -> None:
    from_folder, from_bucket = pair.both(gsc, *arguments)
    assert from_bucket == from_folder
    assert from_folder.code == (2 if "nowhere" in arguments[-1] else 0)


def test_a_first_and_a_second_sync_read_and_write_the_same(
    original: World, bucket: BucketServer, gsc: Gsc, tmp_path: Path
) -> None:
    pair = Pair(original, bucket, Lake(str(tmp_path / "lake")), Lake(f"{bucket.uri}/synced"))
    for _ in range(2):
        from_folder, from_bucket = pair.both(gsc, "sync", "--days", "3", "--json")
        assert from_bucket == from_folder
        assert (from_folder.code, from_folder.err) == (0, "")
    assert contents(pair.copy) == contents(pair.folder)
    assert contents(pair.copy)[SITE_IMPRESSION.name]


def harmed(original: World, bucket: BucketServer, folder: Path, *tables: TableSpec) -> Pair:
    """A lake and its copy, in which the newest file of each table is missing, empty or something else."""
    shutil.copytree(original.lake.uri, folder / "lake")
    lake = Lake(str(folder / "lake"))
    for table, content in zip(tables, (None, b"", b"x" * 5000), strict=False):
        file = Path(sorted(lake.open(table).file_uris())[-1])
        file.unlink() if content is None else file.write_bytes(content)
    return copied(original, bucket, folder / "lake")


def test_damaged_files_are_named_the_same(
    original: World, bucket: BucketServer, gsc: Gsc, tmp_path: Path
) -> None:
    pair = harmed(original, bucket, tmp_path, URL_IMPRESSION, SITE_IMPRESSION)
    from_folder, from_bucket = pair.both(gsc, "verify", "--json")
    assert from_bucket == from_folder
    assert (from_folder.code, from_folder.err) == (1, "")
    assert {one["table"] for one in json.loads(from_folder.out)["findings"]} == {
        SITE_IMPRESSION.name,
        URL_IMPRESSION.name,
    }


@pytest.mark.soak
def test_damaged_files_are_repaired_the_same(
    original: World, bucket: BucketServer, gsc: Gsc, tmp_path: Path
) -> None:
    pair = harmed(original, bucket, tmp_path, URL_IMPRESSION, SITE_IMPRESSION)
    from_folder, from_bucket = pair.both(gsc, "verify", "--repair", "--json")
    assert from_bucket == from_folder
    assert json.loads(from_folder.out)["ok"], from_folder.out
    assert contents(pair.copy) == contents(pair.folder)
    assert [key for key in bucket.keys(f"{tmp_path.name}/") if key.endswith(".damaged")]


@pytest.mark.soak
def test_a_damaged_ledger_is_handled_the_same(
    original: World, bucket: BucketServer, gsc: Gsc, tmp_path: Path
) -> None:
    pair = harmed(original, bucket, tmp_path, SYNC_RUNS, SITEMAPS, SYNC_LEDGER)
    for command in (["status", "--json"], ["status"], ["verify", "--json"], ["housekeeping", "--json"]):
        from_folder, from_bucket = pair.both(gsc, *command)
        assert from_bucket == from_folder
        assert SYNC_LEDGER.name in from_folder.out + from_folder.err
    from_folder, from_bucket = pair.both(gsc, "query", "SELECT count(*) FROM sync_ledger WHERE clicks > 0")
    assert (from_folder.code, from_bucket.code) == (1, 1)


@pytest.mark.parametrize("what", ["the log of a table", "the ledger"])
@pytest.mark.soak
def test_a_lost_log_is_rebuilt_the_same(
    original: World, bucket: BucketServer, gsc: Gsc, tmp_path: Path, what: str
) -> None:
    shutil.copytree(original.lake.uri, tmp_path / "lake")
    table = SYNC_LEDGER if what == "the ledger" else SITE_IMPRESSION
    log = tmp_path / "lake" / table.name / "_delta_log"
    if table is SYNC_LEDGER:
        max(log.glob("*.json")).write_text("{cut", encoding="utf-8")
    else:
        shutil.rmtree(log)
    pair = copied(original, bucket, tmp_path / "lake")
    from_folder, from_bucket = pair.both(gsc, "verify", "--repair", "--json")
    assert from_bucket == from_folder
    assert json.loads(from_folder.out)["ok"], from_folder.out
    assert contents(pair.copy) == contents(pair.folder)


@pytest.mark.soak
def test_housekeeping_joins_and_deletes_the_same(own: Pair, gsc: Gsc) -> None:
    from_folder, from_bucket = own.both(gsc, "housekeeping", "--json")
    assert from_bucket == from_folder
    assert (from_folder.code, from_folder.err) == (0, "")
    assert sum(table["partitions_compacted"] for table in json.loads(from_folder.out)["tables"])
    assert contents(own.copy) == contents(own.folder)


@pytest.mark.soak
def test_the_report_in_the_bucket_and_the_insights_are_those_of_the_folder(
    own: Pair, bucket: BucketServer, gsc: Gsc, tmp_path: Path
) -> None:
    done = gsc("report", "acme", "--output", str(tmp_path / "out"), "--csv", env=own.environment(own.folder))
    assert (done.code, done.err) == (0, "")
    place = f"{bucket.uri}/reports of all"
    printed = gsc("report", "acme", "--csv", env={**own.environment(own.copy), "GSC_REPORTS": place})
    assert (printed.code, printed.err) == (0, "")
    assert printed.out == done.out.replace(str(tmp_path / "out"), place)
    names = [line.removeprefix(f"{place}/") for line in printed.out.splitlines()]
    assert names == ["acme.html", *(f"acme-{table.name}.csv" for table in INSIGHTS)]
    assert sorted(bucket.keys("reports")) == sorted(f"reports of all/{name}" for name in names)
    for name in names:
        assert bucket.read(f"reports of all/{name}") == (tmp_path / "out" / name).read_bytes()
    types = {Path(name).suffix: bucket.content_type(f"reports of all/{name}") for name in names}
    assert types == {".html": "text/html; charset=utf-8", ".csv": "text/csv; charset=utf-8"}
    for table in INSIGHTS:
        assert sorted_rows(own.copy.read(table)) == sorted_rows(own.folder.read(table))


@pytest.mark.soak
def test_a_report_that_cannot_be_written_to_a_bucket_is_one_line_with_its_cause(pair: Pair, gsc: Gsc) -> None:
    env = {**pair.environment(pair.folder), "GSC_REPORTS": "s3://nowhere/reports"}
    done = gsc("report", "acme", env=env)
    assert (done.code, done.out) == (1, "")
    (line,) = done.err.splitlines()
    assert line.startswith("gsc: acme: the report cannot be written to s3://nowhere/reports (")
    assert line.endswith(
        "404 Not Found: NoSuchBucket): check GSC_REPORTS, and that the bucket exists, answers and may be "
        "written to"
    )


@pytest.mark.soak
def test_a_report_that_a_bucket_refuses_leaves_the_earlier_one(
    pair: Pair, bucket: BucketServer, gsc: Gsc
) -> None:
    env = {**pair.environment(pair.folder), "GSC_REPORTS": f"{bucket.uri}/refused"}
    assert gsc("report", "acme", env=env).code == 0
    before = bucket.read("refused/acme.html")
    bucket.answer_503(HANG_SECONDS)
    done = gsc("report", "acme", env=env)
    bucket.answer_503(0)
    (line,) = done.err.splitlines()
    assert (done.code, done.out) == (1, "")
    assert "503 Service Unavailable: SlowDown" in line
    assert bucket.keys("refused/") == ["refused/acme.html"]
    assert bucket.read("refused/acme.html") == before


def test_health_and_metrics_are_the_same(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in pair.bucket.environment.items():
        monkeypatch.setenv(name, value)
    listed, pages = [pair.world.workspace()], []
    for lake in (pair.folder, pair.copy):
        monitor = HealthMonitor(
            lake, lambda: listed, stale_after=timedelta(hours=12), clock=lambda: pair.world.now
        )
        pages.append((monitor.observe(HANG_SECONDS), metrics_text(monitor, by_workspace=True)()))
    assert pages[0] == pages[1]
    assert pages[0][0].totals is not None


def test_pages_answer_within_two_seconds_while_the_bucket_is_gone(pair: Pair, bucket: BucketServer) -> None:
    variables = {**pair.environment(pair.copy), "GSC_HEALTH_CACHE_SECONDS": "0"}
    with bucket.gone(), serving(pair.world, **variables) as (url, process):
        for _ in range(2):
            answer = urllib3.request("GET", f"{url}/health/sync", retries=False, timeout=HANG_SECONDS)
            (reason,) = answer.json()["reasons"]
            assert (answer.status, reason["kind"]) == (503, "lake")
            assert re.match(r"the lake has not answered for \d+ s", reason["text"])
        assert status(f"{url}/health/live") == 200
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0
