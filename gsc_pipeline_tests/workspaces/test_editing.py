"""Adding to a workspaces file: what people wrote stays, and the result is valid or nothing changes."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_pipeline.search_console.auth import (
    CredentialSource,
    OAuthEnvironment,
    OAuthFile,
    ServiceAccountEnvironment,
    ServiceAccountFile,
)
from gsc_pipeline.search_console.search_types import SEARCH_TYPES, QueryType
from gsc_pipeline.settings import ConfigurationError
from gsc_pipeline.workspaces.editing import add, new_file
from gsc_pipeline.workspaces.registry import Workspace, load_workspaces, parse_workspaces

WRITTEN = """\
# Clients of the agency. Ask Ann before you change anything.
workspaces:
    # the first one
    - id:   "acme"     # never rename
      properties: ["sc-domain:acme.com",
                   https://shop.acme.com/]
      credentials: &key {service_account_env: KEY}
      thresholds: {decay_clicks: 200}
    - {id: globex, properties: all, credentials: *key}

    # - id: initech    # paused
"""


def workspace(id_: str = "new", source: CredentialSource | None = None) -> Workspace:
    return Workspace(
        id_, id_, source or ServiceAccountEnvironment("NEW"), ("sc-domain:new.com",), (QueryType.WEB,)
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "workspaces.yaml"
    file.write_text(WRITTEN, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "written",
    [
        WRITTEN,
        WRITTEN.rstrip(),
        "\ufeff" + WRITTEN,
        WRITTEN.replace("\n", "\r\n"),
        "workspaces:\n- id: a\n  properties: all\n  credentials: {oauth_env: A}\n",
        "workspaces:\n- id: a\n  properties: all\n  credentials: {oauth_env: A}\n  name: |\n    A\n",
    ],
    ids=["comments", "no final line break", "byte order mark", "CRLF", "no indentation", "block text"],
)
def test_a_workspace_is_appended_and_every_byte_before_it_stays(file: Path, written: str) -> None:
    file.write_bytes(written.encode())
    before = load_workspaces(file)
    add(file, workspace())
    text = file.read_bytes().decode()
    assert text.startswith(written)
    assert ("\r\n" in written) == ("\r\n" in text[len(written) :])
    assert load_workspaces(file) == (*before, workspace())


def test_every_key_is_written_as_it_is_read(file: Path) -> None:
    full = replace(
        workspace("full"),
        name="Größe: 1 # yes",
        active=False,
        properties=None,
        search_types=SEARCH_TYPES,
        brand_terms=("on", "ac me", "1e3", "- x", "日本"),
    )
    add(file, full)
    add(file, replace(workspace("other"), properties=("https://a.example/x,y/", "sc-domain:b.example")))
    assert load_workspaces(file)[2:] == (
        full,
        replace(workspace("other"), properties=("https://a.example/x,y/", "sc-domain:b.example")),
    )


@given(st.lists(st.text(min_size=1), max_size=5), st.text(min_size=1))
def test_any_text_is_written_as_it_is_read(terms: Sequence[str], name: str) -> None:
    path = Path("workspaces.yaml")
    wanted = replace(workspace(), name=name, brand_terms=tuple(terms))
    try:
        text = new_file([wanted], path)
    except ConfigurationError:
        # A character that YAML does not allow is refused, not written wrongly.
        return
    assert parse_workspaces(text, path) == (wanted,)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (ServiceAccountFile(Path("conf/keys/a.json")), "service_account_file: keys/a.json"),
        (OAuthFile(Path("secrets/a.json")), "oauth_file: {}/secrets/a.json"),
        (OAuthFile(Path("/run/secrets/a.json")), "oauth_file: /run/secrets/a.json"),
        (ServiceAccountEnvironment("A"), "service_account_env: A"),
        (OAuthEnvironment("A"), "oauth_env: A"),
    ],
)
def test_a_credential_under_the_files_folder_is_named_relative_to_it(
    source: CredentialSource, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = new_file([workspace(source=source)], Path("conf/workspaces.yaml"))
    assert line.format(tmp_path.resolve()) in text


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (workspace("acme"), "workspaces[2].id: 'acme': expected only once, but workspaces[0].id is the same"),
        (workspace("No Slug"), "workspaces[2].id: 'No Slug': expected lower-case letters"),
        (replace(workspace(), properties=("acme.com",)), "workspaces[2].properties[0]: 'acme.com': expected"),
        (replace(workspace(), properties=()), "workspaces[2].properties: an empty list: expected"),
        (workspace(source=OAuthEnvironment("not a name")), "workspaces[2].credentials.oauth_env: expected"),
    ],
)
def test_an_invalid_workspace_is_refused_and_the_file_stays(
    file: Path, wanted: Workspace, problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        add(file, wanted)
    assert caught.value.problems[0].startswith(problem)
    assert file.read_text(encoding="utf-8") == WRITTEN
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    "written",
    [
        "{workspaces: [{id: a, properties: all, credentials: {oauth_env: A}}]}",
        "workspaces: [{id: a, properties: all, credentials: {oauth_env: A}}]\n",
        "workspaces:\n- {id: a, properties: all, credentials: {oauth_env: A}}\n...\n",
        "? workspaces\n: - {id: a, properties: all, credentials: {oauth_env: A}}\n...\n# end\n",
    ],
)
def test_a_list_that_cannot_be_appended_to_is_refused_with_the_entry_to_add(file: Path, written: str) -> None:
    file.write_text(written)
    with pytest.raises(ConfigurationError) as caught:
        add(file, workspace())
    assert "cannot be appended to; add this entry:" in caught.value.problems[0]
    assert "id: new" in caught.value.problems[1]
    assert file.read_text() == written


def test_an_invalid_file_is_refused_as_it_is(file: Path) -> None:
    file.write_text("workspaces: []\n")
    with pytest.raises(ConfigurationError, match="workspaces: an empty list: expected at least one"):
        add(file, workspace())


def test_a_missing_file_is_an_error_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read \(No such file.*gsc init writes a new one"):
        add(tmp_path / "workspaces.yaml", workspace())


def test_the_files_mode_and_a_link_to_it_stay(file: Path, tmp_path: Path) -> None:
    file.chmod(0o640)
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    add(link, workspace())
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert load_workspaces(file)[-1].id == "new"
