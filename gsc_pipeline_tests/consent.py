"""A person at the simulator's consent page, without a browser: `python consent.py URL`."""

from __future__ import annotations

import re
import sys

import urllib3


def consent(address: str, *, decision: str = "allow", is_ticked: bool = True, account: str = "") -> str:
    """Open the address, decide, and return the address that the browser is redirected to."""
    with urllib3.PoolManager(retries=False) as browser:
        page = browser.request("GET", address).data.decode()
        request = re.search(r'name="request" value="([^"]+)"', page)
        first = re.search(r'name="account" value="([^"]+)"', page)
        assert request, page
        assert first
        fields = {"request": request[1], "account": account or first[1], "decision": decision}
        if is_ticked:
            fields["consent"] = "yes"
        root = re.match(r"http://[^/]+", address)
        assert root
        answer = browser.request(
            "POST", f"{root[0]}/o/oauth2/consent", fields=fields, encode_multipart=False, redirect=False
        )
        return answer.headers["location"]


if __name__ == "__main__":
    urllib3.request("GET", consent(sys.argv[1]), retries=False)
