"""`gsc init`: typed at in a terminal, and scripted; what it writes, and what it never writes over."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dotenv import dotenv_values

from gsc_pipeline.days import utc_now
from gsc_pipeline.search_console.auth import OAuthFile
from gsc_pipeline.simulator import Call, Reply, SyntheticProperty, google_error, write_oauth_client
from gsc_pipeline.simulator.wire.authorization import ACCOUNTS
from gsc_pipeline.workspaces.registry import load_workspaces
from gsc_pipeline_tests.cli.conftest import Gsc
from gsc_pipeline_tests.cli.test_login_command import BROWSER
from gsc_pipeline_tests.keys import write_key
from gsc_pipeline_tests.terminal import Terminal, terminal
from gsc_pipeline_tests.world import World

GSC = str(Path(sys.executable).with_name("gsc"))
ANSWERS = yaml.safe_load(Path(__file__).with_name("first_hour.yaml").read_text(encoding="utf-8"))
KEY = "secrets/acme.json"
ACME, SHOP = "sc-domain:acme.com", "https://shop.acme.com/"
OTHERS = "sc-domain:globex.com"
WRITTEN = {"workspaces.yaml", ".env", ".env.gsc", "data", "reports"}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A folder with a key file and nothing else, whose account reads two of four properties."""
    folder = tmp_path / "home"
    (folder / "secrets").mkdir(parents=True)
    monkeypatch.chdir(folder)
    readers = ["acme@example.com", *ACCOUNTS]
    properties = [
        SyntheticProperty(ACME, rows_a_day=20, plants=False, readers=readers),
        SyntheticProperty("https://old.acme.com/", readers=readers, permission_level="siteUnverifiedUser"),
        SyntheticProperty(SHOP, rows_a_day=20, plants=False, readers=readers),
        SyntheticProperty(OTHERS, readers=["globex@example.com"]),
    ]
    with World.serving(tmp_path, properties, now=utc_now()) as world:
        write_key(folder / KEY, base_url=world.url, client_email="acme@example.com")
        yield world


def environment(world: World) -> dict[str, str]:
    return {"GSC_API_URL": world.url, "GSC_API_BACKOFF_SECONDS": "0", "GSC_API_ATTEMPTS": "1"}


def written() -> set[str]:
    return {path.name for path in Path().iterdir()} & WRITTEN


def in_terminal(world: World, *options: str) -> Iterator[Terminal]:
    return terminal([GSC, "init", *options], env=environment(world), folder=Path())


def test_the_recorded_answers_lead_from_a_key_file_to_a_report(served: World, gsc: Gsc) -> None:
    assert len(ANSWERS) <= 8
    printed = ""
    with in_terminal(served) as screen:
        for one in ANSWERS:
            printed += screen.shows(one["question"])
            screen.type(one["answer"])
        code, rest = screen.ends()
    assert code == 0, rest
    assert [name in printed for name in (ACME, SHOP, "unverified", OTHERS)] == [True, True, True, False]
    assert "reports/acme.html" in rest
    assert "gsc sync --start" in rest
    assert "<html" in Path("reports/acme.html").read_text(encoding="utf-8")
    (acme,) = load_workspaces(Path("workspaces.yaml"))
    assert (acme.id, acme.properties, acme.brand_terms) == ("acme", (ACME, SHOP), ("acme", "ac me"))
    assert [kind.value for kind in acme.search_types] == ["web", "image"]
    # From here on the files say everything.
    assert '"failed": 0' in gsc("status", "--json").out


def test_the_answers_can_be_options(served: World, gsc: Gsc) -> None:
    done = gsc(
        "init", "--yes", "--key-file", KEY, "--property", SHOP, "--workspace", "shop", "--search-type", "web",
        "--brand-term", "acme shop", "--lake", "tables/of shop", "--no-report", env=environment(served),
    )  # fmt: skip
    assert done.code == 0, done.err
    (shop,) = load_workspaces(Path("workspaces.yaml"))
    assert (shop.id, shop.properties, shop.brand_terms) == ("shop", (SHOP,), ("acme shop",))
    assert dotenv_values(".env") == {
        "GSC_WORKSPACES_FILE": "workspaces.yaml",
        "GSC_LAKE": "tables/of shop",
        "GSC_API_URL": f"{served.url}/",
    }
    assert SHOP in done.out
    assert not Path("reports").exists()
    assert Path("tables/of shop").is_dir()


@pytest.mark.soak
def test_with_a_key_file_alone_every_default_is_taken(served: World, gsc: Gsc) -> None:
    done = gsc("init", "--yes", "--key-file", KEY, env=environment(served))
    assert done.code == 0, done.err
    (acme,) = load_workspaces(Path("workspaces.yaml"))
    assert (acme.id, acme.properties, acme.brand_terms[:1]) == ("acme", (ACME, SHOP), ("acme",))
    assert Path("reports/acme.html").exists()


def test_each_property_can_have_a_workspace_of_its_own(served: World, gsc: Gsc) -> None:
    done = gsc("init", "--yes", "--key-file", KEY, "--one-each", "--no-report", env=environment(served))
    assert done.code == 0, done.err
    found = load_workspaces(Path("workspaces.yaml"))
    assert [(one.id, one.properties) for one in found] == [("acme", (ACME,)), ("shop-acme", (SHOP,))]
    assert "2 of 2 workspaces complete" in done.out


@pytest.mark.soak
def test_an_oauth_client_as_key_file_signs_in(
    served: World, gsc: Gsc, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_oauth_client(Path("client.json"), base_url=served.url)
    Path("secrets/google.json").write_text("another account's")
    with terminal(
        [GSC, "init", "--yes", "--key-file", "client.json", "--no-report"],
        env={**environment(served), "BROWSER": BROWSER},
        folder=Path(),
    ) as screen:
        code, printed = screen.ends()
    assert code == 0, printed
    (acme,) = load_workspaces(Path("workspaces.yaml"))
    assert acme.credentials == OAuthFile(Path("secrets/google-2.json"))
    assert Path("secrets/google.json").read_text() == "another account's"


@pytest.mark.soak
def test_wrong_answers_are_explained_and_asked_again(served: World) -> None:
    write_key(Path("secrets/nobody.json"), base_url=served.url, client_email="nobody@example.com")
    Path("notes.txt").write_text("no key")
    Path("notes.txt").chmod(0o600)
    talk = [
        ("Key file", "none.json", "none.json does not exist"),
        ("Key file", "notes.txt", "is not a JSON key as Google issues it"),
        ("Key file", "secrets/nobody.json", "add nobody@example.com as a user"),
        ("Key file", KEY, ""),
        ("numbers (all)", "7", "7: expected all, or some of"),
        ("numbers (all)", OTHERS, f"{OTHERS}: expected all, or some of"),
        ("numbers (all)", "2", ""),
        ("Id of the workspace (shop-acme)", "The Shop", "'The Shop': expected lower-case letters"),
        ("Id of the workspace (shop-acme)", "", ""),
        ("(web)", "web, pictures", "'pictures': expected one of web, image"),
        ("(web)", "", ""),
        ("Brand terms", "none", ""),
        ("Lake", "ftp://somewhere", "'ftp://somewhere': expected a folder"),
        ("Lake", "notes.txt/lake", "notes.txt is a file: name a folder"),
        ("Lake", "", ""),
        ("Write a report now?", "perhaps", "'perhaps': expected yes or no"),
        ("Write a report now?", "no", ""),
    ]
    with in_terminal(served) as screen:
        for question, answer, explained in talk:
            screen.shows(question)
            screen.type(answer)
            if explained:
                screen.shows(explained)
        code, rest = screen.ends()
    assert code == 0, rest
    (shop,) = load_workspaces(Path("workspaces.yaml"))
    assert (shop.id, shop.properties, shop.brand_terms) == ("shop-acme", (SHOP,), ())
    assert not Path("reports").exists()


@pytest.mark.soak
def test_a_workspace_for_each_property_has_its_own_brand_terms_or_none(served: World) -> None:
    with in_terminal(
        served, "--key-file", KEY, "--property", "all", "--lake", "data/lake", "--no-report"
    ) as screen:
        screen.shows("Id of the workspace")
        screen.type("each")
        screen.shows("Search types")
        screen.type("")
        shown = screen.shows("Use these brand terms? (yes, none)")
        screen.type("acme shop")
        screen.shows("'acme shop': expected yes or none")
        screen.type("none")
        code, rest = screen.ends()
    assert code == 0, rest
    assert "shop-acme: acme" in shown
    assert [one.brand_terms for one in load_workspaces(Path("workspaces.yaml"))] == [(), ()]


@pytest.mark.parametrize(
    ("how", "answered"),
    [
        ("Ctrl-C", 5),
        *(pytest.param("Ctrl-C", count, marks=pytest.mark.soak) for count in range(5)),
        *(pytest.param("Ctrl-D", count, marks=pytest.mark.soak) for count in range(6)),
    ],
)
def test_an_interrupt_at_any_question_leaves_nothing(served: World, answered: int, how: str) -> None:
    with in_terminal(served) as screen:
        for one in ANSWERS[:answered]:
            screen.shows(one["question"])
            screen.type(one["answer"])
        screen.shows(ANSWERS[answered]["question"])
        said = "gsc: interrupted; nothing was written"
        if how == "Ctrl-C":
            screen.interrupt(said)
        else:
            screen.screen.send("\x04")
            screen.shows(said)
        code, rest = screen.ends()
    assert code == 130
    assert "Traceback" not in rest
    assert written() == set()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--yes",), 2, "--key-file: missing: --yes asks for no file"),
        (("--key-file", KEY), 2, "init: there is no terminal to ask on: add --yes"),
        (("--yes", "--key-file", KEY, "--one-each", "--workspace", "a"), 2, "either --workspace or"),
        (("--yes", "--key-file", "none.json"), 1, "none.json does not exist: name a key file"),
        (("--yes", "--key-file", "notes.txt"), 1, "key file notes.txt is not a JSON key"),
        (("--yes", "--key-file", "secrets/nobody.json"), 1, "add nobody@example.com as a user"),
        (("--yes", "--key-file", KEY, "--property", OTHERS), 1, f"{OTHERS}: expected all, or some of {ACME}"),
        (("--yes", "--key-file", KEY, "--workspace", "No Slug"), 1, "'No Slug': expected lower-case letters"),
        (("--yes", "--key-file", KEY, "--search-type", "web2"), 1, "'web2': expected one of web, image"),
        (("--yes", "--key-file", KEY, "--brand-term", " "), 1, "brand_terms[0]: ' ': expected what brand"),
        (("--yes", "--key-file", KEY, "--lake", "ftp://x"), 1, "'ftp://x': expected a folder, or s3://"),
        (("--yes", "--key-file", KEY, "--lake", "notes.txt"), 1, "notes.txt is a file: name a folder"),
    ],
)  # fmt: skip
def test_scripted_mistakes_are_one_line_and_write_nothing(
    served: World, gsc: Gsc, arguments: tuple[str, ...], code: int, text: str
) -> None:
    write_key(Path("secrets/nobody.json"), base_url=served.url, client_email="nobody@example.com")
    Path("notes.txt").write_text("no key")
    Path("notes.txt").chmod(0o600)
    done = gsc("init", *arguments, env=environment(served))
    assert done.code == code
    assert text in done.err
    assert done.err.count("\n") == 1
    assert written() == set()


def test_a_bucket_that_does_not_answer_is_one_line_and_nothing_is_written(served: World, gsc: Gsc) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ALLOW_HTTP": "true"}
    env = environment(served) | keys | {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    done = gsc("init", "--yes", "--key-file", KEY, "--lake", "s3://nowhere/lake", env=env)
    assert done.code == 1
    assert done.err.startswith("gsc: cannot read s3://nowhere/lake")
    assert done.err.count("\n") == 1
    assert written() == set()


def test_a_workspaces_file_that_exists_is_kept_and_nothing_is_asked(served: World, gsc: Gsc) -> None:
    Path("workspaces.yaml").write_text("mine")
    done = gsc("init", "--yes", "--key-file", KEY, env=environment(served))
    assert (done.code, done.err) == (
        1,
        "gsc: workspaces.yaml exists and is kept: gsc workspaces add adds to it, or run gsc init in another "
        "folder\n",
    )
    assert Path("workspaces.yaml").read_text() == "mine"
    assert written() == {"workspaces.yaml"}
    assert not served.simulator.calls


def test_an_env_file_that_exists_is_kept_and_what_it_lacks_is_written_beside_it(
    served: World, gsc: Gsc
) -> None:
    before = f"# mine\nGSC_API_URL={served.url}/\nOTHER=1\n"
    Path(".env").write_text(before)
    options = ("init", "--yes", "--key-file", KEY, "--no-report", "--lake", "elsewhere")
    done = gsc(*options, env=environment(served))
    assert done.code == 0, done.err
    assert Path(".env").read_text() == before
    assert Path(".env.gsc").read_text() == "GSC_LAKE=elsewhere\n"
    assert ".env is kept as it was: add the lines of .env.gsc to it" in done.out


def test_an_env_file_that_has_all_is_kept_and_needs_nothing(served: World, gsc: Gsc) -> None:
    before = f"GSC_API_URL={served.url}/\nGSC_LAKE=mine\n"
    Path(".env").write_text(before)
    done = gsc("init", "--yes", "--key-file", KEY, "--no-report", env=environment(served))
    assert done.code == 0, done.err
    assert Path(".env").read_text() == before
    assert written() == {"workspaces.yaml", ".env"}
    assert Path("mine").is_dir()


@pytest.mark.parametrize(
    ("env", "options"), [("OTHER=1\n", ()), ("GSC_API_URL={}/\n", ("--lake", "elsewhere"))]
)
def test_an_older_file_beside_the_env_file_is_named_before_the_api_is_asked(
    served: World, gsc: Gsc, env: str, options: tuple[str, ...]
) -> None:
    Path(".env").write_text(env.format(served.url))
    Path(".env.gsc").write_text("GSC_LAKE=old\n")
    done = gsc("init", "--yes", "--key-file", KEY, *options, env=environment(served))
    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        "gsc: .env.gsc exists and is kept: add its lines to .env or remove it, then run gsc init again"
    )
    assert Path(".env.gsc").read_text() == "GSC_LAKE=old\n"
    assert written() == {".env", ".env.gsc"}
    assert not served.simulator.calls


@pytest.mark.parametrize("file", [".env", "workspaces.yaml"])
def test_a_file_that_cannot_be_written_takes_the_other_back(served: World, gsc: Gsc, file: str) -> None:
    # A link to nothing: there is no file, and none can be made.
    Path(file).symlink_to("nowhere/file")
    done = gsc("init", "--yes", "--key-file", KEY, env=environment(served))
    assert done.code == 1
    assert done.err.startswith(f"gsc: {file} cannot be written")
    assert done.err.endswith("nothing was written\n")
    assert written() == {file}
    assert Path(file).is_symlink()


def test_a_setup_that_was_killed_after_its_first_file_can_be_run_again(served: World, gsc: Gsc) -> None:
    options = ("init", "--yes", "--key-file", KEY, "--no-report")
    assert gsc(*options, env=environment(served)).code == 0
    env_file = Path(".env").read_text()
    Path("workspaces.yaml").unlink()
    assert gsc(*options, env=environment(served)).code == 0
    assert Path(".env").read_text() == env_file
    assert ".env.gsc" not in written()


def test_a_sync_that_fails_is_one_line_and_the_files_stay(served: World, gsc: Gsc) -> None:
    refused = google_error(403, "forbidden", "No.")
    served.faults.append(lambda call: refused if call.kind == "query" else None)
    done = gsc("init", "--yes", "--key-file", KEY, env=environment(served))
    assert done.code == 1
    assert "no workspace could be synced" in done.err.splitlines()[-1]
    assert "gsc sync" in done.err.splitlines()[-1]
    assert written() >= {"workspaces.yaml", ".env"}
    assert not Path("reports").exists()


def test_a_site_without_data_is_set_up_and_has_no_report_yet(served: World, gsc: Gsc) -> None:
    def without_rows(call: Call) -> Reply | None:
        return Reply(200, {"responseAggregationType": "byProperty"}) if call.kind == "query" else None

    served.faults.append(without_rows)
    done = gsc("init", "--yes", "--key-file", KEY, env=environment(served))
    assert done.code == 0, done.err
    assert "gsc: warning: acme: " in done.err
    assert "gsc sync --start" in done.out


def test_an_api_that_is_down_is_one_line_and_nothing_is_written(served: World, gsc: Gsc) -> None:
    served.faults.append(lambda call: Reply(503, b"") if call.kind == "sites" else None)
    done = gsc("init", "--yes", "--key-file", KEY, env=environment(served))
    assert done.code == 1
    assert "503" in done.err
    assert written() == set()
