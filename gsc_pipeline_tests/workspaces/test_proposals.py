"""What is proposed as a workspace's id and brand terms."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_pipeline.workspaces.entries import ID_PATTERN
from gsc_pipeline.workspaces.proposals import brand_terms, workspace_id


@pytest.mark.parametrize(
    ("site_url", "id_"),
    [
        ("sc-domain:acme.com", "acme"),
        ("sc-domain:acme.co.uk", "acme"),
        ("sc-domain:co.uk", "co"),
        ("https://www.acme.com/", "acme"),
        ("https://shop.acme.com/", "shop-acme"),
        ("https://acme.com/en/blog/", "acme-en-blog"),
        ("https://acme.com:8443/", "acme"),
        ("sc-domain:bücher.example", "bucher"),
        ("sc-domain:例え.example", "site"),
        ("http://localhost/", "localhost"),
        ("http://192.168.0.1/", "192-168-0-1"),
        (f"sc-domain:{'a' * 80}.com", "a" * 63),
    ],
)
def test_an_id_is_the_name_in_the_property(site_url: str, id_: str) -> None:
    assert workspace_id(site_url) == id_


def test_an_id_is_unlike_those_that_are_taken() -> None:
    taken = ["acme", "acme-2"]
    assert workspace_id("sc-domain:acme.com", taken) == "acme-3"
    assert workspace_id(f"sc-domain:{'a' * 80}.com", ["a" * 63]) == "a" * 61 + "-2"


@given(st.text())
def test_an_id_is_always_valid(text: str) -> None:
    for site_url in (f"sc-domain:{text}", f"https://x/{text}/"):
        try:
            found = workspace_id(site_url)
        except ValueError:
            # Not a URL, which no property is.
            continue
        assert re.fullmatch(ID_PATTERN, found)


@pytest.mark.parametrize(
    ("site_url", "queries", "terms"),
    [
        ("sc-domain:acme.com", [], ("acme",)),
        ("sc-domain:acme.com", ["buy acme shoes", "ac me", "Ac Me login", "welding"], ("acme", "ac me")),
        ("sc-domain:blue-bird.com", ["bluebird", "blue bird coffee"], ("bluebird", "blue bird")),
        (
            "sc-domain:bluebirdcoffee.com",
            ["blue bird coffee", "bluebird", "bluebird hours", "bluebird menu", "coffee near me"],
            ("blue bird coffee", "bluebird"),
        ),
        ("sc-domain:bluebirdcoffee.com", ["bluebird", "blue ridge"], ("bluebirdcoffee",)),
        ("sc-domain:büro.de", ["büro kaufen", "Bu Ro"], ("buro", "bu ro")),
        ("sc-domain:hm.com", ["hm"], ()),
        ("https://shop.acme.co.uk/a/", ["acme"], ("acme",)),
    ],
)
def test_brand_terms_are_the_name_and_how_people_write_it(
    site_url: str, queries: list[str], terms: tuple[str, ...]
) -> None:
    assert brand_terms([site_url], queries) == terms


def test_properties_of_one_brand_share_its_terms() -> None:
    assert brand_terms(["sc-domain:acme.com", "https://shop.acme.com/", "sc-domain:globex.com"], []) == (
        "acme",
        "globex",
    )
