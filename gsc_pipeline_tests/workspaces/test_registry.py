"""The workspaces file: valid entries, errors, selection."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gsc_pipeline.search_console.auth import (
    OAuthEnvironment,
    OAuthFile,
    ServiceAccountEnvironment,
    ServiceAccountFile,
)
from gsc_pipeline.search_console.search_types import SEARCH_TYPES, FeedType, QueryType
from gsc_pipeline.settings import ConfigurationError
from gsc_pipeline.workspaces.content_groups import ContentGroup
from gsc_pipeline.workspaces.registry import Folder, Workspace, load_workspaces, select
from gsc_pipeline.workspaces.thresholds import Thresholds

CANARY = "MIIEcanary"
PROPERTY_EXPECTED = "expected sc-domain:example.com, or https://example.com/ with its final slash"
ID_EXPECTED = "expected lower-case letters, digits and hyphens, at most 63, the first one not a hyphen"
TERM_EXPECTED = "expected what brand queries contain, such as the name of the brand"
VARIABLE_EXPECTED = "expected the name of an environment variable"
WRITE_ONE = "name your workspaces file in GSC_WORKSPACES_FILE, or write one with gsc init"
ENTRY_KEYS = (
    "id, name, active, properties, search_types, credentials, brand_terms, thresholds, content_groups, "
    "seo_tests"
)
CREDENTIAL_KEYS = "service_account_file, service_account_env, oauth_file, oauth_env"

Load = Callable[[str | bytes], tuple[Workspace, ...]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a workspaces file of this content."""

    def load(content: str | bytes) -> tuple[Workspace, ...]:
        path = tmp_path / "workspaces.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return load_workspaces(path)

    return load


@pytest.fixture
def problems(load: Load) -> Callable[[str | bytes], list[str]]:
    """The errors of a file with this content."""

    def problems(content: str | bytes) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            load(content)
        assert caught.value.source.endswith("workspaces.yaml")
        assert str(caught.value) == "\n".join(f"{caught.value.source}: {p}" for p in caught.value.problems)
        return list(caught.value.problems)

    return problems


def entry(**changes: Any) -> dict[str, Any]:
    """A valid entry of the file, except for `changes`."""
    return {
        "id": "acme",
        "properties": ["sc-domain:acme.com"],
        "credentials": {"oauth_env": "ACME"},
    } | changes


def file_of(*entries: Any) -> str:
    return yaml.safe_dump({"workspaces": list(entries)})


def test_a_file_with_every_key_is_read(load: Load, tmp_path: Path) -> None:
    workspaces = load(
        """
        workspaces:
          - id: acme
            name: Acme Inc.
            active: false
            properties: ["sc-domain:acme.com", "https://shop.acme.com/", "http://acme.com/a/b/"]
            search_types: [web, image, video, news, discover, googleNews]
            credentials: {service_account_file: secrets/acme.json}
            brand_terms: [acme, "ac me"]
            thresholds: {decay_clicks: 200, decay_share: 1}
            content_groups:
              - {name: Blog, path: /blog/}
              - {name: Products, regex: "/p-[0-9]+"}
          - id: 0-zwei
            properties: all
            credentials: {service_account_env: ZWEI_KEY}
          - id: three
            properties: [sc-domain:bücher.example]
            search_types: [discover]
            credentials: {oauth_env: THREE_USER}
          - id: four
            properties: all
            credentials: {oauth_file: secrets/four.json}
        """
    )

    assert workspaces == (
        Workspace(
            id="acme",
            name="Acme Inc.",
            active=False,
            properties=("sc-domain:acme.com", "https://shop.acme.com/", "http://acme.com/a/b/"),
            search_types=SEARCH_TYPES,
            credentials=ServiceAccountFile(tmp_path / "secrets" / "acme.json"),
            brand_terms=("acme", "ac me"),
            thresholds=Thresholds(decay_clicks=200, decay_share=1),
            content_groups=(
                ContentGroup("Blog", path="/blog/"),
                ContentGroup("Products", regex="/p-[0-9]+"),
            ),
        ),
        Workspace(
            id="0-zwei",
            name="0-zwei",
            active=True,
            properties=None,
            search_types=(QueryType.WEB,),
            credentials=ServiceAccountEnvironment("ZWEI_KEY"),
            brand_terms=(),
        ),
        Workspace(
            id="three",
            name="three",
            active=True,
            properties=("sc-domain:bücher.example",),
            search_types=(FeedType.DISCOVER,),
            credentials=OAuthEnvironment("THREE_USER"),
            brand_terms=(),
        ),
        Workspace(
            id="four",
            name="four",
            properties=None,
            search_types=(QueryType.WEB,),
            credentials=OAuthFile(tmp_path / "secrets" / "four.json"),
        ),
    )


def test_relative_key_files_are_relative_to_the_workspaces_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "conf"
    elsewhere = tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "tenants.yaml").write_text(
        file_of(
            entry(id="a", credentials={"service_account_file": "keys/a.json"}),
            entry(id="b", credentials={"service_account_file": "/run/secrets/b.json"}),
        )
    )
    monkeypatch.chdir(elsewhere)

    a, b = load_workspaces(Path("../conf/tenants.yaml"))

    assert isinstance(a.credentials, ServiceAccountFile)
    assert a.credentials.path.resolve() == folder.resolve() / "keys" / "a.json"
    assert b.credentials == ServiceAccountFile(Path("/run/secrets/b.json"))


def test_every_error_of_a_file_is_reported_at_once(problems: Callable[[str], list[str]]) -> None:
    assert problems(
        """
        owner: me
        workspaces:
          - id: Acme
            nmae: Acme Inc.
            active: "on"
            properties: [https://acme.com, acme.com]
            search_types: [web, podcasts]
            credentials: {service_account_file: a.json, oauth_env: ACME}
          - id: beta
            properties: [sc-domain:beta.com, https://beta.com/, sc-domain:beta.com]
            search_types: [news, news]
            credentials: {}
          - name: No id
          - id: beta
            properties: all
            credentials: {oauth_env: BETA}
        """
    ) == [
        f"workspaces[0].id: 'Acme': {ID_EXPECTED}",
        "workspaces[0].active: 'on': expected true or false",
        f"workspaces[0].properties[0]: 'https://acme.com': {PROPERTY_EXPECTED}",
        f"workspaces[0].properties[1]: 'acme.com': {PROPERTY_EXPECTED}",
        "workspaces[0].search_types[1]: 'podcasts': "
        "expected 'web', 'image', 'video', 'news', 'discover' or 'googleNews'",
        f"workspaces[0].credentials: expected exactly one of {CREDENTIAL_KEYS}",
        f"workspaces[0].nmae: unknown key, expected one of {ENTRY_KEYS}",
        f"workspaces[1].credentials: expected exactly one of {CREDENTIAL_KEYS}",
        "workspaces[2].id: missing",
        "workspaces[2].properties: missing",
        "workspaces[2].credentials: missing",
        "owner: unknown key, expected one of workspaces",
        "workspaces[3].id: 'beta': expected only once, but workspaces[1].id is the same",
        "workspaces[1].properties[2]: 'sc-domain:beta.com': "
        "expected only once, but workspaces[1].properties[0] is the same",
        "workspaces[1].search_types[1]: 'news': "
        "expected only once, but workspaces[1].search_types[0] is the same",
    ]


@pytest.mark.parametrize(
    "id_",
    ["Acme", "acme|beta", "acme...beta", "-acme", "acme_beta", "acme beta", "äcme", "", "a/b", "acme\n"],
)
def test_an_id_that_is_not_a_slug_is_refused(id_: str, problems: Callable[[str], list[str]]) -> None:
    assert problems(file_of(entry(id=id_))) == [f"workspaces[0].id: {id_!r}: {ID_EXPECTED}"]


def test_an_id_has_at_most_63_characters(load: Load, problems: Callable[[str], list[str]]) -> None:
    assert load(file_of(entry(id="a" * 63)))[0].id == "a" * 63
    assert problems(file_of(entry(id="a" * 64))) == [f"workspaces[0].id: '{'a' * 56}...: {ID_EXPECTED}"]


@pytest.mark.parametrize(
    "property_",
    [
        "https://acme.com",
        "https://acme.com/shop",
        "acme.com/",
        "acme.com",
        "ftp://acme.com/",
        "https:///",
        "https://acme.com/?page=/",
        "https://acme.com/a b/",
        "https://[acme/x",
        "sc-domain:",
        "sc-domain:acme.com/",
        "sc-domain: acme.com",
        "SC-DOMAIN:acme.com",
        "",
    ],
)
def test_a_property_that_cannot_exist_in_search_console_is_refused(
    property_: str, problems: Callable[[str], list[str]]
) -> None:
    assert problems(file_of(entry(properties=[property_]))) == [
        f"workspaces[0].properties[0]: {property_!r}: {PROPERTY_EXPECTED}"
    ]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"id": 123}, "id: 123: expected text, in quotes"),
        ({"id": None}, "id: empty: expected text"),
        ({"id": ["acme"]}, "id: a list: expected text, in quotes"),
        ({"name": True}, "name: true: expected text, in quotes"),
        ({"active": 1}, "active: 1: expected true or false"),
        ({"active": None}, "active: empty: expected true or false"),
        ({"brand_terms": "acme"}, "brand_terms: 'acme': expected a list"),
        ({"brand_terms": ["acme", 365]}, "brand_terms[1]: 365: expected text, in quotes"),
        ({"brand_terms": ["acme", ""]}, f"brand_terms[1]: '': {TERM_EXPECTED}"),
        ({"brand_terms": [" \u00a0"]}, f"brand_terms[0]: ' \\xa0': {TERM_EXPECTED}"),
        ({"brand_terms": ["\u0301"]}, f"brand_terms[0]: '\u0301': {TERM_EXPECTED}"),
        ({"thresholds": [1]}, "thresholds: a list: expected a mapping of thresholds to numbers"),
        (
            {"thresholds": {"decay_clicks": 0.5}},
            "thresholds: decay_clicks: 0.5: expected a whole number",
        ),
        (
            {"thresholds": {"decay_share": "x"}},
            "thresholds: decay_share: x: expected a number",
        ),
        ({"thresholds": {"decay_share": 2}}, "thresholds: decay_share: 2: expected 0 to 1"),
        ({"properties": "ALL"}, "properties: 'ALL': expected a list of properties, or all"),
        ({"properties": None}, "properties: empty: expected a list of properties, or all"),
        ({"properties": []}, "properties: an empty list: expected at least one"),
        ({"properties": [{"sc-domain": "a"}]}, "properties[0]: a mapping: expected text, in quotes"),
        ({"search_types": "web"}, "search_types: 'web': expected a list"),
        ({"search_types": []}, "search_types: an empty list: expected at least one"),
        ({"credentials": None}, f"credentials: expected a mapping with the keys {CREDENTIAL_KEYS}"),
        ({"credentials": "a.json"}, f"credentials: expected a mapping with the keys {CREDENTIAL_KEYS}"),
        ({"credentials": {"oauth_env": 5}}, "credentials.oauth_env: expected text, in quotes"),
        ({"credentials": {"oauth_env": ""}}, f"credentials.oauth_env: {VARIABLE_EXPECTED}"),
        ({"credentials": {"oauth_env": None}}, f"credentials: expected exactly one of {CREDENTIAL_KEYS}"),
        ({"credentials": {"key": "k"}}, f"credentials.key: unknown key, expected one of {CREDENTIAL_KEYS}"),
        ({5: "x"}, f"[5]: unknown key, expected one of {ENTRY_KEYS}"),
    ],
)  # fmt: skip
def test_an_invalid_value_is_one_line_with_what_is_expected(
    change: dict[Any, Any], line: str, problems: Callable[[str], list[str]]
) -> None:
    path = "workspaces[0]" if line.startswith("[") else "workspaces[0]."

    assert problems(file_of(entry() | change)) == [path + line]


GROUP_NAME_EXPECTED = "expected 1 to 100 printable characters, without spaces around them"
GROUP_PATH_EXPECTED = "expected the start of a URL's path, such as /blog/, without host, spaces, ? and #"
GROUP_RESERVED = "expected another name: all and other have a meaning of their own"


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ({"name": "all", "path": "/"}, f".name: 'all': {GROUP_RESERVED}"),
        ({"name": "Other", "path": "/"}, f".name: 'Other': {GROUP_RESERVED}"),
        ({"name": "", "path": "/"}, f".name: '': {GROUP_NAME_EXPECTED}"),
        ({"name": "a\tb", "path": "/"}, f".name: 'a\\tb': {GROUP_NAME_EXPECTED}"),
        ({"name": "x" * 101, "path": "/"}, f".name: '{'x' * 56}...: {GROUP_NAME_EXPECTED}"),
        ({"name": 1, "path": "/"}, ".name: 1: expected text, in quotes"),
        ({"path": "/"}, ".name: missing"),
        ({"name": "Blog"}, ": expected exactly one of path, regex"),
        ({"name": "Blog", "path": "/", "regex": "x"}, ": expected exactly one of path, regex"),
        ({"name": "Blog", "path": "blog/"}, f".path: 'blog/': {GROUP_PATH_EXPECTED}"),
        ({"name": "Blog", "path": "/a?b"}, f".path: '/a?b': {GROUP_PATH_EXPECTED}"),
        ({"name": "Blog", "path": "/a b/"}, f".path: '/a b/': {GROUP_PATH_EXPECTED}"),
        ({"name": "Blog", "regex": ""}, ".regex: '': expected an RE2 regular expression"),
        (
            {"name": "Blog", "regex": "/(blog"},
            ".regex: '/(blog': expected an RE2 regular expression (missing ): /(blog)",
        ),
        (
            {"name": "Blog", "regex": "(?=a)"},
            ".regex: '(?=a)': expected an RE2 regular expression (invalid perl operator: (?=)",
        ),
        ({"name": "Blog", "prefix": "/"}, ".prefix: unknown key, expected one of name, path, regex"),
        ("/blog/", ": '/blog/': expected a mapping with the keys name, path, regex"),
    ],
)  # fmt: skip
def test_a_content_group_that_cannot_be_used_is_one_line(
    rule: object, line: str, problems: Callable[[str], list[str]]
) -> None:
    assert problems(file_of(entry(content_groups=[rule])))[0] == f"workspaces[0].content_groups[0]{line}"


def test_content_groups_have_different_names_and_are_at_most_a_hundred(
    load: Load, problems: Callable[[str], list[str]]
) -> None:
    rules = [{"name": f"Group {i}", "path": f"/{i}/"} for i in range(101)]
    assert problems(file_of(entry(content_groups=rules))) == [
        "workspaces[0].content_groups: a list: expected at most 100"
    ]
    assert problems(
        file_of(entry(content_groups=[rules[0], rules[1], {"name": "Group 0", "path": "/x/"}]))
    ) == [
        "workspaces[0].content_groups[2].name: 'Group 0': "
        "expected only once, but workspaces[0].content_groups[0].name is the same"
    ]
    # Each workspace has its own names.
    assert len(load(file_of(entry(content_groups=rules[:1]), entry(id="b", content_groups=rules[:1])))) == 2


def test_a_duplicate_is_refused_even_if_nothing_else_is_wrong(
    problems: Callable[[str], list[str]],
) -> None:
    assert problems(file_of(entry(), entry(), entry(id="beta", properties=["sc-domain:a.com"] * 2))) == [
        "workspaces[1].id: 'acme': expected only once, but workspaces[0].id is the same",
        "workspaces[2].properties[1]: 'sc-domain:a.com': "
        "expected only once, but workspaces[2].properties[0] is the same",
    ]


@pytest.mark.parametrize(
    "credentials",
    [
        {"service_account_file": json.dumps({"private_key": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n"})},
        {"service_account_file": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n"},
        {"service_account_file": {"private_key": CANARY}},
        {"service_account_env": json.dumps({"private_key": CANARY})},
        {"oauth_env": f"1//{CANARY}"},
        {"oauth_env": [CANARY]},
        {"oauth_file": json.dumps({"refresh_token": CANARY})},
        {"service_account_json": CANARY},
        {"service_account_file": "a.json", "oauth_env": CANARY},
        CANARY,
        [CANARY],
    ],
)
def test_a_key_pasted_into_the_file_is_refused_and_never_quoted(
    credentials: object, problems: Callable[[str], list[str]]
) -> None:
    (line,) = problems(file_of(entry(credentials=credentials)))

    assert line.startswith("workspaces[0].credentials")
    assert CANARY not in line


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "empty: expected a mapping with the key workspaces"),
        ("# nothing yet\n", "empty: expected a mapping with the key workspaces"),
        ("- id: acme\n", "a list: expected a mapping with the key workspaces"),
        ("acme", "'acme': expected a mapping with the key workspaces"),
        ("{}", "workspaces: missing"),
        ("workspaces:", "workspaces: empty: expected a list"),
        ("workspaces: {}", "workspaces: an empty mapping: expected a list"),
        ("workspaces: []", "workspaces: an empty list: expected at least one"),
        ("workspaces: [acme]", f"workspaces[0]: 'acme': expected a mapping with the keys {ENTRY_KEYS}"),
        ("workspaces: &it [*it]", f"workspaces[0]: a list: expected a mapping with the keys {ENTRY_KEYS}"),
        ("[", "not valid YAML: expected the node content, but found '<stream end>' (line 1, column 2)"),
        ("a: b: c", "not valid YAML: mapping values are not allowed here (line 1, column 5)"),
        ("a: 1\n---\nb: 2", "not valid YAML: found another document (line 2, column 1)"),
        ("a: *nowhere", "not valid YAML: found undefined alias 'nowhere' (line 1, column 4)"),
        ("a: \x07", "not valid YAML: special characters are not allowed"),
        ("a: 1\nb: 2\na: 3", "not valid YAML: key 'a' given twice (line 3, column 1)"),
        ("[[a]]: b\n? [c]\n: d", "not valid YAML: found unhashable key (line 1, column 1)"),
        ("day: 2026-99-99", "not valid YAML: '2026-99-99' cannot be read as timestamp (line 1, column 6)"),
        ("flag: !!bool perhaps", "not valid YAML: 'perhaps' cannot be read as bool (line 1, column 7)"),
        ("[" * 1_000, "not valid YAML: nested too deeply"),
        (b"\xff\xfe", f"cannot be read (not UTF-8 text): {WRITE_ONE}"),
    ],
)  # fmt: skip
def test_a_file_of_another_shape_is_one_line(
    content: str | bytes, line: str, problems: Callable[[str | bytes], list[str]]
) -> None:
    assert problems(content) == [line]


def test_a_duplicate_yaml_key_is_refused_at_every_depth(problems: Callable[[str], list[str]]) -> None:
    assert problems("workspaces:\n- id: acme\n  properties: all\n  id: beta\n") == [
        "not valid YAML: key 'id' given twice (line 4, column 3)"
    ]


def test_entries_may_share_values_by_yaml_anchors(load: Load) -> None:
    first, second = load(
        """
        workspaces:
          - &first
            id: first
            properties: all
            search_types: [image]
            credentials: {oauth_env: SHARED}
          - <<: *first
            id: second
        """
    )

    assert (first.id, second.id) == ("first", "second")
    assert first.credentials == second.credentials
    assert first.search_types == second.search_types == (QueryType.IMAGE,)


def test_a_byte_order_mark_is_ignored(load: Load) -> None:
    assert load(b"\xef\xbb\xbf" + file_of(entry()).encode())[0].id == "acme"


def test_a_missing_file_is_an_error_that_names_its_variable(tmp_path: Path) -> None:
    for path, cause in ((tmp_path / "none.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigurationError) as caught:
            load_workspaces(path)

        assert str(caught.value) == f"{path}: cannot be read ({cause}): {WRITE_ONE}"


def yaml_like() -> st.SearchStrategy[Any]:
    words = st.sampled_from(
        [*ENTRY_KEYS.split(", "), *CREDENTIAL_KEYS.split(", "), "workspaces", "all", "web"]
    )
    leaves = (
        st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(max_size=5) | words
    )
    return st.recursive(
        leaves,
        lambda children: (
            st.lists(children, max_size=3)
            | st.dictionaries(words | st.text(max_size=3) | st.integers(), children, max_size=4)
        ),
        max_leaves=12,
    )


@given(
    st.text(max_size=40)
    | st.text("[]{}:,-?&*!|>'\"#%@<a1 \n", max_size=20)
    | st.builds(yaml.safe_dump, yaml_like())
    | st.builds(file_of, yaml_like())
    | st.builds(lambda key, value: file_of(entry(**{key: value})), st.sampled_from([*entry()]), yaml_like())
)
def test_any_content_is_read_or_its_errors_are_named(
    tmp_path_factory: pytest.TempPathFactory, content: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(content, encoding="utf-8", errors="replace")

    try:
        lines = [workspace.id for workspace in load_workspaces(path)]
    except ConfigurationError as error:
        lines = list(error.problems)

    assert lines
    for jargon in ("Input should", "Value error", "pydantic", "object at 0x", "_Entry"):
        assert not any(jargon in line for line in lines)


@pytest.fixture
def three(load: Load) -> tuple[Workspace, ...]:
    return load(file_of(entry(id="one"), entry(id="two", active=False), entry(id="three")))


def test_all_active_workspaces_are_selected_without_ids(three: tuple[Workspace, ...]) -> None:
    assert [workspace.id for workspace in select(three, [])] == ["one", "three"]
    assert [workspace.id for workspace in select(three, ["three"])] == ["three"]
    assert [workspace.id for workspace in select(three, ["three", "one", "one"])] == ["one", "three"]


def test_an_inactive_workspace_is_not_selected_even_by_name(three: tuple[Workspace, ...]) -> None:
    assert select(three, ["two"]) == ()


def test_an_unknown_id_among_many_workspaces_names_the_nearest(three: tuple[Workspace, ...]) -> None:
    many = [dataclasses.replace(three[0], id=f"client-{n}") for n in range(500)]
    with pytest.raises(ConfigurationError) as caught:
        select(many, ["clint-77"])
    (problem,) = caught.value.problems
    assert "known: client-77," in problem
    assert problem.endswith("and 497 more)")


def test_every_unknown_id_is_named_with_the_known_ones(three: tuple[Workspace, ...]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        select(three, ["two", "tow", "four"])

    assert caught.value.problems == (
        "four: unknown workspace (known: one, two, three)",
        "tow: unknown workspace (known: one, two, three)",
    )
    with pytest.raises(ConfigurationError, match="known: none"):
        select([], ["one"])


def folder(site_url: str, of: str) -> dict[str, str]:
    return {"site_url": site_url, "folders_of": of}


def test_folders_are_properties_that_name_the_one_they_complete(load: Load) -> None:
    domain, shop, shoes = "sc-domain:acme.com", "https://acme.com/shop/", "https://acme.com/shop/shoes/"
    listed = [folder(shoes, shop), domain, folder(shop, domain), "https://shop.acme.com/"]
    (workspace,) = load(file_of(entry(properties=listed)))

    assert workspace.properties == (shoes, domain, shop, "https://shop.acme.com/")
    assert workspace.folders == (Folder(shoes, shop), Folder(shop, domain))
    assert workspace.folders_of(domain) == (shop, shoes)
    assert workspace.folders_of(shop) == (shoes,)
    assert workspace.folders_of(shoes) == ()
    assert hash(workspace)


@pytest.mark.parametrize(
    ("of", "site_url"),
    [
        ("sc-domain:acme.com", "https://acme.com/"),
        ("sc-domain:acme.com", "http://blog.acme.com/a/b/"),
        ("https://acme.com/", "https://acme.com/shop/"),
    ],
)
def test_a_folder_may_be_below_a_domain_or_a_prefix(of: str, site_url: str, load: Load) -> None:
    (workspace,) = load(file_of(entry(properties=[of, folder(site_url, of)])))
    assert workspace.folders == (Folder(site_url, of),)


NOT_LISTED = "expected another property of this workspace, spelled as in its list"


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (
            ["sc-domain:acme.com", folder("https://acme.com/a/", "sc-domain:acme.org")],
            [f"[1].folders_of: 'sc-domain:acme.org': {NOT_LISTED}"],
        ),
        (
            ["sc-domain:acme.com", folder("https://acme.org/a/", "sc-domain:acme.com")],
            ["[1].site_url: 'https://acme.org/a/': expected a URL prefix below sc-domain:acme.com, "
             "the property whose folder it is to be"],
        ),
        (
            ["sc-domain:acme.com", folder("sc-domain:a.acme.com", "sc-domain:acme.com")],
            ["[1].site_url: 'sc-domain:a.acme.com': expected a URL prefix below sc-domain:acme.com, "
             "the property whose folder it is to be"],
        ),
        (
            ["https://acme.com/", folder("http://acme.com/a/", "https://acme.com/")],
            ["[1].site_url: 'http://acme.com/a/': expected a URL prefix below https://acme.com/, "
             "the property whose folder it is to be"],
        ),
        (
            [folder("https://acme.com/a/", "https://acme.com/a/")],
            ["[0].site_url: 'https://acme.com/a/': expected a URL prefix below https://acme.com/a/, "
             "the property whose folder it is to be"],
        ),
        (
            [
                folder("https://acme.com/a/", "https://acme.com/a/b/"),
                folder("https://acme.com/a/b/", "https://acme.com/a/"),
            ],
            ["[0].site_url: 'https://acme.com/a/': expected a URL prefix below https://acme.com/a/b/, "
             "the property whose folder it is to be"],
        ),
        (
            ["sc-domain:acme.com", {"site_url": "https://acme.com/a", "folders_of": "sc-domain:acme.com"}],
            [f"[1].site_url: 'https://acme.com/a': {PROPERTY_EXPECTED}"],
        ),
        (
            ["sc-domain:acme.com", {"site_url": "https://acme.com/a/", "folder_of": "sc-domain:acme.com"}],
            ["[1].folders_of: missing", "[1].folder_of: unknown key, expected one of site_url, folders_of"],
        ),
        (
            ["sc-domain:acme.com", folder("https://acme.com/a/", "sc-domain:acme.com"), "https://acme.com/a/"],
            ["[2]: 'https://acme.com/a/': expected only once, but workspaces[0].properties[1] is the same"],
        ),
        ([3], ["[0]: 3: expected text, in quotes"]),
    ],
)  # fmt: skip
def test_a_folder_in_the_wrong_place_is_one_clear_error(
    listed: list[Any], expected: list[str], problems: Callable[[str], list[str]]
) -> None:
    assert problems(file_of(entry(properties=listed))) == [
        f"workspaces[0].properties{one}" for one in expected
    ]
