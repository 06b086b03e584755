"""Google's own Python client, unchanged, over a real socket."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.oauth2.credentials import Credentials
from google.oauth2.service_account import Credentials as ServiceAccount
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from gsc_pipeline.simulator import Simulator, SyntheticProperty, serving, write_service_account_key
from gsc_pipeline_tests.credentials import authorized_user_info
from gsc_pipeline_tests.simulator.conftest import NOON

SCOPES = ["https://www.googleapis.com/auth/webmasters.readonly"]
PREFIX = "https://www.acme.example/"
ROBOT = "robot@acme.example"
DAY = {"startDate": "2026-11-10", "endDate": "2026-11-10"}


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return Simulator(
        [
            SyntheticProperty("sc-domain:acme.example", rows_a_day=300, readers=[ROBOT]),
            SyntheticProperty(PREFIX, rows_a_day=300),
        ],
        clock=lambda: NOON,
    )


@pytest.fixture(scope="module")
def url(simulator: Simulator) -> Iterator[str]:
    with serving(simulator) as url:
        yield url


@pytest.fixture(scope="module")
def key_file(url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "key.json"
    write_service_account_key(path, base_url=url, client_email=ROBOT)
    return path


@pytest.fixture
def service(url: str, key_file: Path) -> Iterator[Any]:
    credentials = ServiceAccount.from_service_account_file(str(key_file), scopes=SCOPES)
    with official(url, credentials) as service:
        yield service


def official(url: str, credentials: Any) -> Any:
    return build(
        "searchconsole",
        "v1",
        credentials=credentials,
        static_discovery=True,
        cache_discovery=False,
        client_options={"api_endpoint": url},
    )


def test_it_lists_and_gets_properties(service: Any) -> None:
    listed = service.sites().list().execute()["siteEntry"]
    assert [site["siteUrl"] for site in listed] == ["sc-domain:acme.example", PREFIX]
    assert service.sites().get(siteUrl=PREFIX).execute() == listed[1]


def test_it_queries_and_pages(service: Any) -> None:
    def query(**body: Any) -> Any:
        return service.searchanalytics().query(siteUrl=PREFIX, body={**DAY, **body}).execute()

    whole = query(dimensions=["query", "page"])["rows"]
    halves = [query(dimensions=["query", "page"], rowLimit=100, startRow=start) for start in (0, 100)]
    assert halves[0]["rows"] + halves[1]["rows"] == whole[:200]
    assert query(dimensions=["date"])["rows"][0]["keys"] == ["2026-11-10"]


def test_it_queries_by_hour(service: Any) -> None:
    body = {"startDate": "2026-11-17", "endDate": "2026-11-20", "dimensions": ["HOUR"]}
    answer = (
        service.searchanalytics().query(siteUrl=PREFIX, body={**body, "dataState": "HOURLY_ALL"}).execute()
    )
    assert answer["rows"][0]["keys"] == ["2026-11-17T00:00:00-08:00"]
    assert answer["metadata"] == {"firstIncompleteHour": "2026-11-18T00:00:00-08:00"}


def test_it_groups_by_search_appearance(service: Any) -> None:
    body = {**DAY, "dimensions": ["SEARCH_APPEARANCE"]}
    answer = service.searchanalytics().query(siteUrl=PREFIX, body=body).execute()
    assert ["PRODUCT_SNIPPETS"] in [row["keys"] for row in answer["rows"]]


def test_it_lists_sitemaps(service: Any) -> None:
    entries = service.sitemaps().list(siteUrl=PREFIX).execute()["sitemap"]
    assert entries[0]["path"] == f"{PREFIX}sitemap.xml"
    assert entries[0]["isSitemapsIndex"] is True


def test_it_inspects_a_page(service: Any) -> None:
    def inspect(url: str) -> Any:
        body = {"inspectionUrl": url, "siteUrl": PREFIX, "languageCode": "de-CH"}
        return service.urlInspection().index().inspect(body=body).execute()

    assert "verdict" in inspect(PREFIX)["inspectionResult"]["indexStatusResult"]
    with pytest.raises(HttpError) as refused:
        inspect("https://www.other.example/")
    assert refused.value.status_code == 400


def test_it_understands_refusals(service: Any) -> None:
    with pytest.raises(HttpError, match="sufficient permission") as forbidden:
        service.searchanalytics().query(siteUrl="sc-domain:other.example", body=DAY).execute()
    assert forbidden.value.status_code == 403
    with pytest.raises(HttpError) as refused:
        service.searchanalytics().query(siteUrl=PREFIX, body={**DAY, "rowLimit": 0}).execute()
    assert refused.value.status_code == 400


def test_it_signs_in_as_a_user(url: str) -> None:
    info = authorized_user_info(url, client_id="user.apps.example")
    credentials = Credentials(
        None,
        refresh_token=info["refresh_token"],
        client_id=info["client_id"],
        client_secret=info["client_secret"],
        token_uri=info["token_uri"],
    )
    with official(url, credentials) as service:
        listed = service.sites().list().execute()["siteEntry"]
    assert [site["siteUrl"] for site in listed] == [PREFIX]


def test_the_key_file_has_googles_format_and_mode_0600(key_file: Path, url: str) -> None:
    info = json.loads(key_file.read_text())
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert info["type"] == "service_account"
    assert info["client_email"] == ROBOT
    assert info["token_uri"] == f"{url}/token"
    assert info["private_key"].startswith("-----BEGIN PRIVATE KEY-----")
    write_service_account_key(key_file, base_url=url, client_email=ROBOT)
    assert json.loads(key_file.read_text())["private_key"] != info["private_key"]
