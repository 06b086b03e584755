"""The SEO tests in the workspaces file: valid entries, and a line for each error."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from gsc_pipeline.settings import ConfigurationError
from gsc_pipeline.workspaces.registry import Workspace, parse_workspaces
from gsc_pipeline.workspaces.seo_tests import PageSet, SeoTest

SITE = "sc-domain:acme.com"
A, B = "https://www.acme.com/a", "https://www.acme.com/b"
PLACE = "workspaces[0].seo_tests[0]"
NAME_EXPECTED = "expected lower-case letters, digits and hyphens, at most 63, the first one not a hyphen"


def entry(**changes: Any) -> dict[str, Any]:
    """A valid entry, except for `changes`."""
    return {
        "name": "shorter-titles",
        "property": SITE,
        "start": date(2026, 9, 1),
        "variant": {"pages": [A]},
        "control": {"group": "/guides/"},
    } | changes


def read(*tests: Any, **workspace: Any) -> tuple[Workspace, ...]:
    whole = {
        "id": "acme",
        "properties": [SITE, {"site_url": "https://acme.com/blog/", "folders_of": SITE}],
        "credentials": {"oauth_env": "ACME"},
        "seo_tests": list(tests),
    }
    return parse_workspaces(yaml.safe_dump({"workspaces": [whole | workspace]}), Path("workspaces.yaml"))


def problems(*tests: Any, **workspace: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(*tests, **workspace)
    return list(caught.value.problems)


def test_a_workspace_has_no_tests_by_default() -> None:
    assert read()[0].seo_tests == ()


def test_a_test_names_pages_a_group_or_a_pattern() -> None:
    second = entry(
        name="faq",
        search_type="image",
        end=date(2026, 10, 15),
        variant={"regex": "/p-[0-9]+"},
        control={"pages": [A, B]},
    )
    (workspace,) = read(entry(), second, search_types=["web", "image"])
    assert workspace.seo_tests == (
        SeoTest(
            name="shorter-titles",
            site_url=SITE,
            search_type="WEB",
            start=date(2026, 9, 1),
            variant=PageSet(pages=(A,)),
            control=PageSet(group="/guides/"),
        ),
        SeoTest(
            name="faq",
            site_url=SITE,
            search_type="IMAGE",
            start=date(2026, 9, 1),
            end=date(2026, 10, 15),
            variant=PageSet(regex="/p-[0-9]+"),
            control=PageSet(pages=(A, B)),
        ),
    )


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"name": "Titles"}, f".name: 'Titles': {NAME_EXPECTED}"),
        ({"name": 5}, ".name: 5: expected text, in quotes"),
        (
            {"property": "acme.com"},
            ".property: 'acme.com': expected sc-domain:example.com, or https://example.com/ with its final "
            "slash",
        ),
        (
            {"property": "https://acme.com/blog/", "variant": {"group": "/blog/"}},
            ".property: 'https://acme.com/blog/': expected a property of this workspace, spelled as in its "
            "list, and no folder of another",
        ),
        (
            {"search_type": "podcasts"},
            ".search_type: 'podcasts': expected 'web', 'image', 'video', 'news', 'discover' or 'googleNews'",
        ),
        ({"search_type": "news"}, ".search_type: 'news': expected one of this workspace's search_types"),
        ({"start": "2026-09-01"}, ".start: '2026-09-01': expected a date such as 2026-11-20, without quotes"),
        ({"start": date(9999, 12, 31)}, ".start: 9999-12-31: expected a day from 2000-01-01 to 2199-12-31"),
        ({"start": None}, ".start: empty: expected a date such as 2026-11-20, without quotes"),
        ({"end": 20261015}, ".end: 20261015: expected a date such as 2026-11-20, without quotes"),
        (
            {"end": date(2026, 8, 31)},
            ".end: 2026-08-31: expected 2026-09-01, the first day with the change, or later",
        ),
        (
            {"until": 5},
            ".until: unknown key, expected one of name, property, search_type, start, end, variant, control",
        ),
        ({"variant": {}}, ".variant: an empty mapping: expected exactly one of pages, group, regex"),
        (
            {"variant": {"pages": [A], "regex": "/a"}},
            ".variant: expected exactly one of pages, group, regex",
        ),
        ({"variant": A}, f".variant: '{A}': expected a mapping with the keys pages, group, regex"),
        ({"variant": {"urls": [A]}}, ".variant.urls: unknown key, expected one of pages, group, regex"),
        ({"variant": {"pages": []}}, ".variant.pages: an empty list: expected at least one"),
        ({"variant": {"pages": A}}, f".variant.pages: '{A}': expected a list"),
        (
            {"variant": {"pages": ["/a"]}},
            ".variant.pages[0]: '/a': expected the address of a page, which begins with https:// or http://",
        ),
        (
            {"variant": {"pages": ["https://beta.com/a"]}},
            f".variant.pages[0]: 'https://beta.com/a': expected a page of {SITE}",
        ),
        (
            {"variant": {"pages": [A, B, A]}},
            f".variant.pages[2]: '{A}': expected only once, but {PLACE}.variant.pages[0] is the same",
        ),
        (
            {"control": {"pages": [B, A]}},
            f".control.pages[1]: '{A}': expected only once, but {PLACE}.variant.pages[0] is the same",
        ),
        ({"control": {"group": " "}}, ".control.group: ' ': expected the name of a content group"),
        (
            {"variant": {"group": "/guides/"}},
            ".control.group: '/guides/': expected other pages than those of the variant",
        ),
        (
            {"variant": {"group": "/blog/a/"}},
            ".variant.group: '/blog/a/': expected the first folder of a path, such as /blog/, because the "
            "workspace has no content_groups",
        ),
        (
            {"variant": {"group": "Blog"}},
            ".variant.group: 'Blog': expected the first folder of a path, such as /blog/, because the "
            "workspace has no content_groups",
        ),
        ({"control": {"regex": ""}}, ".control.regex: '': expected an RE2 regular expression"),
        (
            {"control": {"regex": "/p-(?=x)"}},
            ".control.regex: '/p-(?=x)': expected an RE2 regular expression (invalid perl operator: (?=)",
        ),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_one_line_with_what_is_expected(change: dict[str, Any], line: str) -> None:
    assert problems(entry(**change)) == [PLACE + line]


def test_a_group_is_one_of_those_that_the_workspace_defines() -> None:
    rules = [{"name": "Blog", "path": "/blog/"}]
    wrong = entry(variant={"group": "Blog"}, control={"group": "Guides"})
    line = f"{PLACE}.control.group: 'Guides': expected one of content_groups, such as Blog"
    assert line in problems(wrong, content_groups=rules)
    assert not any("'Blog'" in one for one in problems(wrong, content_groups=rules))


def test_missing_keys_are_named() -> None:
    assert problems({"name": "faq"}) == [
        f"{PLACE}.{key}: missing" for key in ("property", "start", "variant", "control")
    ]


def test_names_of_a_workspace_are_unique() -> None:
    assert problems(entry(), entry()) == [
        f"workspaces[0].seo_tests[1].name: 'shorter-titles': expected only once, but {PLACE}.name is the same"
    ]


def test_any_property_may_be_tested_if_all_are_synced() -> None:
    (workspace,) = read(entry(property="https://acme.com/", variant={"regex": "x"}), properties="all")
    assert workspace.seo_tests[0].site_url == "https://acme.com/"
