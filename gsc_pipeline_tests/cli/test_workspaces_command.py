"""`gsc workspaces`: list, add and check, against a simulated Search Console."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gsc_pipeline.days import utc_now
from gsc_pipeline.simulator import Reply, SyntheticProperty, token_error, write_oauth_client
from gsc_pipeline.workspaces.registry import load_workspaces
from gsc_pipeline_tests.cli.conftest import Gsc
from gsc_pipeline_tests.credentials import authorized_user_info
from gsc_pipeline_tests.world import World, asks_token_for


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world in which acme's account owns one property, is unverified at one, and sees no third."""
    monkeypatch.chdir(tmp_path)
    reader = ["acme@example.com"]
    properties = [
        SyntheticProperty("sc-domain:acme.com", rows_a_day=5, readers=reader),
        SyntheticProperty("https://old.acme.com/", readers=reader, permission_level="siteUnverifiedUser"),
        SyntheticProperty("sc-domain:globex.com", readers=["globex@example.com"]),
    ]
    with World.serving(tmp_path, properties, now=utc_now()) as world:
        yield world


def entry(id_: str, *properties: str, **more: object) -> dict[str, object]:
    return {"id": id_, "properties": list(properties) or "all", **more}


def test_check_names_what_each_workspace_may_read_and_the_next_step(served: World, gsc: Gsc) -> None:
    acme = entry(
        "acme", "sc-domain:acme.com", "https://old.acme.com/", "https://acme.com/", "sc-domain:x.com"
    )
    env = served.environment(acme, entry("globex"), entry("off", "sc-domain:x.com", active=False))
    done = gsc("workspaces", "check", "--json", env=env)
    found = json.loads(done.out)
    assert (done.code, found["ok"]) == (1, False)
    by_id = {one["workspace"]: one for one in found["workspaces"]}
    assert list(by_id) == ["acme", "globex"]
    add = "add acme@example.com as a user in Search Console (Settings, Users and permissions)"
    assert [tuple(one.values()) for one in by_id["acme"]["properties"]] == [
        ("sc-domain:acme.com", "owner", True, None),
        ("https://old.acme.com/", "unverified", False, f"verify the property, or {add}"),
        ("https://acme.com/", None, False, f"spell it sc-domain:acme.com, or {add}"),
        ("sc-domain:x.com", None, False, add),
    ]
    assert by_id["globex"]["ok"] is True
    assert [one["property"] for one in by_id["globex"]["properties"]] == ["sc-domain:globex.com"]
    table = gsc("workspaces", "check", env=env)
    assert table.code == 1
    assert "spell it sc-domain:acme.com" in table.out
    assert gsc("workspaces", "check", "globex", env=env).code == 0
    assert gsc("workspaces", "check", "nobody", env=env).code == 2


def test_check_reports_a_dead_credential_and_still_checks_the_others(served: World, gsc: Gsc) -> None:
    refused = token_error("invalid_grant", "Invalid JWT Signature.")
    served.faults.append(lambda call: refused if asks_token_for("acme", call) else None)
    env = served.environment(entry("acme"), entry("globex"), entry("nothing"))
    found = json.loads(gsc("workspaces", "check", "--json", env=env).out)["workspaces"]
    assert [one["ok"] for one in found] == [False, True, False]
    assert "invalid_grant" in found[0]["error"]
    assert found[2]["error"].startswith("may read no property; add nothing@example.com as a user")


def test_check_asks_once_for_each_credential(served: World, gsc: Gsc) -> None:
    key = {"credentials": {"service_account_file": "acme-key.json"}}
    env = served.environment(entry("acme"), entry("a", **key), entry("b", "sc-domain:acme.com", **key))
    served.simulator.calls.clear()
    assert gsc("workspaces", "check", env=env).code == 0
    assert sum(call.kind == "sites" for call in served.simulator.calls) == 1


def test_list_shows_every_workspace_and_its_credential(served: World, gsc: Gsc) -> None:
    env = served.environment(entry("acme", "sc-domain:acme.com"), entry("globex", active=False, name="G"))
    found = json.loads(gsc("workspaces", "list", "--json", env=env).out)["workspaces"]
    assert [(one["workspace"], one["name"], one["active"], one["properties"]) for one in found] == [
        ("acme", "acme", True, ["sc-domain:acme.com"]),
        ("globex", "G", False, "all"),
    ]
    assert "acme-key.json" in gsc("workspaces", "list", env=env).out
    assert not served.simulator.calls


def test_add_writes_what_is_given_and_the_new_workspace_can_be_synced(served: World, gsc: Gsc) -> None:
    env = served.environment(entry("globex"))
    served.environment(entry("acme"))
    served.environment(entry("globex"))
    file = Path(env["GSC_WORKSPACES_FILE"])
    file.write_text("# ours\n" + file.read_text())
    options = (
        "--search-type",
        "web",
        "--search-type",
        "image",
        "--brand-term",
        "ac me",
        "--name",
        "Acme Inc.",
    )
    done = gsc(
        "workspaces", "add", "acme", "--key-file", "acme-key.json", "--property", "sc-domain:acme.com",
        *options, env=env,
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert file.read_text().startswith("# ours\n")
    added = load_workspaces(file)[-1]
    assert (added.id, added.name, added.brand_terms) == ("acme", "Acme Inc.", ("ac me",))
    assert [kind.value for kind in added.search_types] == ["web", "image"]
    assert gsc("workspaces", "check", "acme", env=env).code == 0
    assert gsc("sync", "acme", "--days", "1", env=env).code == 0


def test_add_recognises_an_oauth_file_and_a_service_accounts_key(served: World, gsc: Gsc) -> None:
    env = served.environment(entry("acme"))
    file = Path("user.json")
    file.write_text(json.dumps(authorized_user_info(served.url)))
    file.chmod(0o600)
    for id_, option, value in (("file", "--key-file", "user.json"), ("env", "--oauth-env", "USER_KEY")):
        assert gsc("workspaces", "add", id_, option, value, "--property", "all", env=env).code == 0
    text = Path(env["GSC_WORKSPACES_FILE"]).read_text()
    assert "credentials: {oauth_file: user.json}" in text
    assert "credentials: {oauth_env: USER_KEY}" in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "add: expected exactly one of --key-file, --key-env, --oauth-env"),
        (("--key-env", "A", "--oauth-env", "B"), "add: expected exactly one of"),
        (("--key-file", "none.json"), "--key-file: key file none.json cannot be read (No such file"),
        (("--key-file", "client.json"), "sign in first: gsc login --client client.json"),
        (("--key-file", "notes.txt"), "--key-file: key file notes.txt is not a JSON key"),
        (("--key-env", "A", "--search-type", "web2"), "--search-type: 'web2': expected one of web, image"),
        (("--key-env", "no name"), "credentials.service_account_env: expected the name of an environment"),
    ],
)
def test_add_refuses_mistakes_with_one_line_and_changes_nothing(
    served: World, gsc: Gsc, arguments: tuple[str, ...], text: str
) -> None:
    env = served.environment(entry("acme"))
    write_oauth_client(Path("client.json"), base_url=served.url)
    Path("notes.txt").write_text("no key")
    Path("notes.txt").chmod(0o600)
    file = Path(env["GSC_WORKSPACES_FILE"])
    before = file.read_text()
    done = gsc("workspaces", "add", "new", "--property", "all", *arguments, env=env)
    assert done.code == 2
    assert text in done.err
    assert done.err.count("\n") == 1
    assert file.read_text() == before


def test_add_needs_properties(served: World, gsc: Gsc) -> None:
    env = served.environment(entry("acme"))
    done = gsc("workspaces", "add", "new", "--key-env", "A", env=env)
    assert (done.code, done.err) == (2, "gsc: --property: missing: name a property, or all\n")


def test_check_survives_an_api_that_is_down(served: World, gsc: Gsc) -> None:
    served.faults.append(lambda call: Reply(503, b"") if call.kind == "sites" else None)
    env = served.environment(entry("acme")) | {"GSC_API_ATTEMPTS": "1"}
    done = gsc("workspaces", "check", env=env)
    assert done.code == 1
    assert "503" in done.out
    assert "Traceback" not in done.err
