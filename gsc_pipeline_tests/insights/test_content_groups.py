"""The content group of each page, against a second implementation, and the largest groups as series."""

from __future__ import annotations

import re
from collections.abc import Sequence

import duckdb
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gsc_pipeline.insights.content_groups import compared_groups, group_sql, grouped_days, rules_hash
from gsc_pipeline.workspaces.content_groups import ContentGroup

SITE = {"site_url": "sc-domain:acme.com", "search_type": "WEB"}
BLOG, PRODUCTS = ContentGroup("Blog", path="/blog/"), ContentGroup("Products", regex="/p-[0-9]+")
CAFE = ContentGroup("Café", path="/café")
RULES = (BLOG, PRODUCTS, CAFE, ContentGroup("Shop", path="/Shop/new%c3%a9/"))

# What makes an address hard to read, and ordinary parts.
PARTS = st.sampled_from(
    [
        *(
            "https://",
            "http://",
            "//",
            "/",
            "/",
            "/",
            "?",
            "#",
            ":",
            "@",
            "%",
            ".",
            "\n",
            " ",
            "'",
            "\\",
            "[",
        ),
        *("blog", "Blog", "blog/", "blogger", "a.com", "www.a.com:443", "p-12", "p-", "index.html", "v1.2"),
        *("café", "caf%C3%A9", "caf%c3%a9", "%2F", "%fF", "%zz", "Shop/newé", "Shop/new%C3%a9", "東京", "ß"),
        *("x=1&y=/blog/", "\0"),
    ]
)
URLS = st.lists(PARTS, max_size=8).map("".join) | st.lists(PARTS, max_size=6).map("".join).map(
    "https://a.com/".__add__
)


CONNECTION = duckdb.connect(":memory:")


def groups(urls: Sequence[str], rules: Sequence[ContentGroup] = ()) -> list[str]:
    query = f"SELECT {group_sql(rules)} FROM (SELECT unnest(?) AS url)"
    return [group for (group,) in CONNECTION.cursor().execute(query, [list(urls)]).fetchall()]


# A second implementation, without the expressions of the first.


def path_of(url: str) -> str | None:
    """The path of an address; None without a host."""
    before = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, slashes, rest = before.partition("//")
    if not slashes or "/" in scheme:
        return None
    return "/" + rest.partition("/")[2].lstrip("/")


def in_upper_case(text: str) -> str:
    return re.sub("%([^%]{0,2})", lambda m: "%" + m[1].translate(str.maketrans("abcdef", "ABCDEF")), text)


def oracle(url: str, rules: Sequence[ContentGroup]) -> str:
    path = path_of(url)
    for rule in rules:
        if rule.regex is not None:
            if re.search(rule.regex, url):
                return rule.name
        elif path is not None:
            wanted = spelled((rule.path or "").rstrip("/"))
            if (spelled(path) + "/").startswith(wanted + "/"):
                return rule.name
    if rules or path is None:
        return "other"
    first, slash, _ = path[1:].partition("/")
    return f"/{in_upper_case(first)}/" if first and (slash or "." not in first) else "/"


def spelled(path: str) -> str:
    """The path with everything percent-encoded that is not ASCII, in upper case."""
    encoded = "".join(c if c.isascii() else "".join(f"%{byte:02X}" for byte in c.encode()) for c in path)
    return re.sub("%[0-9a-fA-F]{2}", lambda m: m[0].upper(), encoded)


@settings(deadline=None, max_examples=30)
@given(st.lists(URLS, min_size=1, max_size=60), st.sampled_from([(), RULES, RULES[::-1]]))
@example(["https://a.com/%%cafe/", "https://a.com/%c%3a/"], ())
@example(["", "//", "https://", "https://a.com", "a.com/blog/", "https://a.com//blog"], ())
def test_the_group_of_any_url_is_that_of_the_second_implementation(
    urls: list[str], rules: tuple[ContentGroup, ...]
) -> None:
    assert groups(urls, rules) == [oracle(url, rules) for url in urls]


@pytest.mark.parametrize(
    ("url", "group"),
    [
        ("https://acme.com/", "/"),
        ("https://acme.com", "/"),
        ("https://acme.com?page=/blog/", "/"),
        ("https://acme.com/about.html", "/"),
        ("https://acme.com/blog", "/blog/"),
        ("https://acme.com/blog/", "/blog/"),
        ("https://acme.com:8443/blog?utm=1#top", "/blog/"),
        ("http://www.acme.com//blog/2026/a.html", "/blog/"),
        ("https://acme.com/v1.2/docs", "/v1.2/"),
        ("https://acme.com/Blog/", "/Blog/"),
        ("https://acme.com/caf%c3%a9/", "/caf%C3%A9/"),
        ("acme.com/blog/", "other"),
        ("", "other"),
    ],
)
def test_without_rules_the_group_is_the_first_segment(url: str, group: str) -> None:
    assert groups([url]) == [group]


@pytest.mark.parametrize(
    ("url", "group"),
    [
        ("https://acme.com/blog", "Blog"),
        ("https://shop.acme.com:80/blog?x", "Blog"),
        ("https://acme.com/blog/p-1", "Blog"),
        ("https://acme.com/blogger", "other"),
        ("https://acme.com/en/blog/", "other"),
        ("https://acme.com/?to=/blog/", "other"),
        ("https://acme.com/Blog/", "other"),
        ("https://acme.com/x?id=/p-12", "Products"),
        ("https://acme.com/caf%C3%A9/menu", "Café"),
        ("https://acme.com/caf%c3%A9", "Café"),
        ("https://acme.com/café/", "Café"),
        ("https://acme.com/Shop/new%C3%A9", "Shop"),
        ("https://acme.com/Shop/newé/", "Shop"),
        ("", "other"),
    ],
)
def test_the_first_rule_that_matches_names_the_group(url: str, group: str) -> None:
    assert groups([url], RULES) == [group]


def test_a_name_or_expression_with_quotes_is_taken_as_it_is() -> None:
    rules = [ContentGroup("It's; --", regex="'x"), ContentGroup("{is_brand} $rules", path="/$least")]
    assert groups(["https://a.com/'x", "https://a.com/$least/"], rules) == ["It's; --", "{is_brand} $rules"]


def test_the_hash_of_the_rules_changes_with_each_part_and_their_order() -> None:
    other = (
        ContentGroup("Blog", path="/news/"),
        ContentGroup("News", path="/blog/"),
        ContentGroup("Blog", regex="/blog/"),
    )
    hashes = [
        rules_hash(rules) for rules in ((), [BLOG], [BLOG, CAFE], [CAFE, BLOG], *([one] for one in other))
    ]
    assert len(set(hashes)) == len(hashes)
    assert rules_hash((BLOG,)) == rules_hash([ContentGroup("Blog", path="/blog/")])


# frames


def days(*rows: tuple[str, str, int], **more: object) -> pd.DataFrame:
    """Days of November with a group and its clicks, each of ten impressions at position 3."""
    frame = pd.DataFrame(rows, columns=["data_date", "content_group", "clicks"])
    frame["data_date"] = pd.to_datetime("2026-11-" + frame["data_date"])
    return frame.assign(**SITE, impressions=10, sum_position=20, **more)


def whole(**impressions: int) -> pd.DataFrame:
    """`d17=90`: the property has 90 impressions on 17 November."""
    dates = pd.to_datetime([f"2026-11-{name[1:]}" for name in impressions])
    frame = pd.DataFrame({"data_date": dates, "impressions": list(impressions.values())})
    return frame.assign(**SITE, as_of=dates.max(), clicks=7, position=2.0)


def test_a_group_without_a_row_has_no_clicks_on_days_with_pages_and_on_empty_days() -> None:
    found = grouped_days(
        whole(d15=90, d16=0, d17=90), days(("15", "/a/", 5), ("15", "/b/", 1), ("17", "/b/", 2))
    )
    group = found[found["content_group"] == "/a/"].sort_values("data_date")
    assert list(group["data_date"].dt.day) == [15, 16, 17]
    assert list(group["clicks"]) == [5, 0, 0]
    assert list(group["position"].fillna(-1)) == [3, -1, -1]
    assert set(group["as_of"]) == {pd.Timestamp("2026-11-17")}
    assert list(found.loc[found["content_group"] == "all", "clicks"]) == [7, 7, 7]


def test_a_day_of_which_no_page_is_known_is_missing_in_the_groups() -> None:
    found = grouped_days(whole(d15=90, d16=90), days(("15", "/a/", 5)))
    assert list(found.loc[found["content_group"] == "/a/", "data_date"].dt.day) == [15]
    assert len(grouped_days(whole(d15=90), days())) == 1


def test_two_windows_are_compared_by_group() -> None:
    pairs = days(("15", "", 0), ("16", "", 0)).drop(
        columns=["content_group", "clicks", "impressions", "sum_position"]
    )
    pairs = pairs.assign(period=["before", "now"], as_of=pd.Timestamp("2026-11-16"), days=1)
    shown = days(("15", "/a/", 5), ("16", "/a/", 8), ("16", "/new/", 2), ("17", "/a/", 99))
    found = compared_groups(shown, pairs).set_index("item")
    assert found.loc["/a/", ["clicks_before", "clicks"]].tolist() == [5, 8]
    assert found.loc["/new/", ["impressions_before", "impressions"]].tolist() == [0, 10]
    assert pd.isna(found.loc["/new/", "sum_position_before"])
    feed = compared_groups(shown.assign(sum_position=None), pairs)
    assert feed[["sum_position_before", "sum_position"]].isna().all(axis=None)
