"""A lake in an object store: unsafe stores are refused, and commits of many writers are all kept."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from gsc_pipeline.lake.lake import Lake, LakeError
from gsc_pipeline.lake.object_store import FOLDER, unsafe_settings
from gsc_pipeline.lake.schemas import SITE_IMPRESSION
from gsc_pipeline_tests.cluster.bucket import BucketServer, serving_bucket
from gsc_pipeline_tests.lake.test_lake import DAYS, clicks_by_day, rows, target
from gsc_pipeline_tests.lake.writers import clicks, clicks_after, commits_by_run, write_at_once
from gsc_pipeline_tests.soak import in_night, in_soak


@pytest.fixture(scope="module")
def bucket() -> Iterator[BucketServer]:
    with serving_bucket() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


def write(lake: Lake, day: date = DAYS[0]) -> None:
    lake.replace(SITE_IMPRESSION, target(day), rows(day, 1))


def test_a_store_that_ignores_put_if_absent_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving_bucket(is_safe=False) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        lake = Lake(f"{server.uri}/unsafe")
        for attempt in (write, write, lambda lake: lake.create(SITE_IMPRESSION)):
            with pytest.raises(LakeError) as told:
                attempt(lake)
            (line,) = str(told.value).splitlines()
            assert line.startswith("cannot write s3://lake/unsafe: its object store ignores put-if-absent")
            assert "would be lost" in line
            assert "Amazon S3" in line
        assert lake.read(SITE_IMPRESSION).num_rows == 0
        assert server.keys() == []


def test_a_safe_store_is_probed_once_and_the_lake_remembers_it(bucket: BucketServer) -> None:
    uri = f"{bucket.uri}/probed"
    write(Lake(uri))
    (left,) = bucket.keys(f"probed/{FOLDER}/")
    before = bucket.counts()
    another_process = Lake(uri)
    write(another_process, DAYS[1])
    write(another_process, DAYS[2])
    after = bucket.counts()
    assert after.conditional - before.conditional == 2
    assert bucket.keys(f"probed/{FOLDER}/") == [left]
    assert len(clicks_by_day(Lake(uri))) == 3


def test_a_lake_behind_another_address_is_probed_again(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"{bucket.uri}/moved"
    write(Lake(uri))
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.url.replace("127.0.0.1", "localhost"))
    write(Lake(uri))
    assert len(bucket.keys(f"moved/{FOLDER}/")) == 2


def test_many_probes_at_once_find_a_safe_store_safe(bucket: BucketServer) -> None:
    uri = f"{bucket.uri}/at-once"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: Lake(uri).refuse_unsafe_store(), range(8)))
    assert len(bucket.keys("at-once/")) == 1


def test_a_store_that_does_not_answer_the_probe_is_an_error_that_names_the_lake(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LakeError, match=r"^cannot probe the store of s3://no-such-bucket/lake \(.*GSC_LAKE"):
        write(Lake("s3://no-such-bucket/lake"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_S3_ALLOW_UNSAFE_RENAME", "true"),
        ("aws_s3_allow_unsafe_rename", "1"),
        ("AWS_S3_LOCKING_PROVIDER", "dynamodb"),
        ("aws_s3_locking_provider", "dynamodb"),
        ("DELTA_DYNAMO_TABLE_NAME", "delta_log"),
        ("AWS_CONDITIONAL_PUT", "disabled"),
        ("aws_conditional_put", "dynamo:locks"),
    ],
)
def test_settings_that_ask_for_less_than_put_if_absent_are_refused_by_name(name: str, value: str) -> None:
    (line,) = unsafe_settings("s3://lake", {name: value, "AWS_REGION": "eu-west-1"})
    assert line.startswith(f"{name} asks for ")
    assert "put-if-absent instead" in line
    assert unsafe_settings("data/lake", {name: value}) == []
    assert unsafe_settings("gs://lake", {name: value}) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_S3_ALLOW_UNSAFE_RENAME", "false"),
        ("AWS_S3_LOCKING_PROVIDER", ""),
        ("AWS_CONDITIONAL_PUT", "etag"),
    ],
)
def test_settings_that_switch_these_off_are_accepted(name: str, value: str) -> None:
    assert unsafe_settings("s3://lake", {name: value}) == []


def test_a_write_under_unsafe_settings_is_refused(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_S3_LOCKING_PROVIDER", "dynamodb")
    with pytest.raises(LakeError, match=r"^AWS_S3_LOCKING_PROVIDER asks for a lock in DynamoDB"):
        write(Lake(f"{bucket.uri}/settings"))
    assert bucket.keys("settings/") == []


def test_a_folder_is_not_probed(lake: Lake) -> None:
    write(lake)
    assert FOLDER not in os.listdir(lake.uri)  # noqa: PTH208


@pytest.mark.parametrize(("writers", "commits"), [(3, 4), in_soak((16, 4)), in_night((50, 2))])
def test_each_commit_of_writers_at_once_is_in_the_log_exactly_once(
    bucket: BucketServer, writers: int, commits: int
) -> None:
    uri = f"{bucket.uri}/{writers}-writers"
    written = write_at_once(uri, writers=writers, commits=commits)
    assert written.errors == ()
    runs = [f"w{writer:02d}-{commit}" for writer in range(writers) for commit in range(commits)]
    assert commits_by_run(uri) == Counter(runs)
    assert sorted(written.seconds) == sorted(runs)
    assert clicks(uri) == clicks_after(writers, commits)
