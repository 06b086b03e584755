"""A plain HTTP client for tests of the wire: only urllib3 between a test and the bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import urllib3

from gsc_pipeline.simulator import Simulator, serving
from gsc_pipeline_tests.credentials import authorized_user_info

ANYONE = "anyone.apps.example"


class Wire:
    """A connection of one subject to the simulator at `url`."""

    def __init__(self, url: str, subject: str = ANYONE) -> None:
        self.url = url
        self.pool = urllib3.PoolManager(retries=False)
        granted = self.token(
            grant_type="refresh_token", client_id=subject, client_secret="s", refresh_token="r"
        )
        self.headers = {"Authorization": f"Bearer {granted.json()['access_token']}"}

    @classmethod
    @contextmanager
    def to(cls, simulator: Simulator, subject: str = ANYONE) -> Iterator[Wire]:
        with serving(simulator) as url:
            wire = cls(url, subject)
            try:
                yield wire
            finally:
                wire.pool.clear()

    def token(self, path: str = "/token", **form: str) -> urllib3.BaseHTTPResponse:
        return self.pool.request("POST", self.url + path, fields=form, encode_multipart=False)

    def get(self, path: str, headers: dict[str, str] | None = None) -> urllib3.BaseHTTPResponse:
        return self.pool.request(
            "GET", f"{self.url}/webmasters/v3/{path}", headers=self.headers if headers is None else headers
        )

    def post_query(self, site_url: str, /, **body: Any) -> urllib3.BaseHTTPResponse:
        """The raw answer to a search analytics request."""
        site = quote(site_url, safe="")
        return self.pool.request(
            "POST",
            f"{self.url}/webmasters/v3/sites/{site}/searchAnalytics/query",
            headers=self.headers,
            json=body,
        )

    def query(self, site_url: str, /, **body: Any) -> dict[str, Any]:
        """The answer to a valid request."""
        answer = self.post_query(site_url, **body)
        assert answer.status == 200, answer.data
        return dict(answer.json())


def authorized_user_form(url: str) -> dict[str, str]:
    info = authorized_user_info(url)
    fields = ("client_id", "client_secret", "refresh_token")
    return {"grant_type": "refresh_token", **{name: info[name] for name in fields}}
