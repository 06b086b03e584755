"""The shared state in SQLite and PostgreSQL: concurrency, transactions, lost connections, errors."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from gsc_pipeline.errors import PipelineError
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.state.postgres import without_secrets
from gsc_pipeline.state.store import Execute, StateError, Store

ADD = """
    INSERT INTO gsc_api_breakers (key, failures) VALUES (:key, 1)
    ON CONFLICT (key) DO UPDATE SET failures = gsc_api_breakers.failures + 1 RETURNING failures"""
COUNT = "SELECT failures FROM gsc_api_breakers WHERE key = :key"


@pytest.fixture
def store(state_address: str) -> Iterator[Store]:
    with closing(open_store(state_address)) as store:
        yield store


def add_many(address: str, times: int) -> None:
    """What each process does: one statement, and a transaction that reads a row and writes it back."""

    def add(execute: Execute) -> None:
        execute(ADD, key="both")
        (row,) = execute(COUNT, key="both")
        execute("UPDATE gsc_api_breakers SET failures = :n WHERE key = :key", n=row[0] + 1, key="both")

    with closing(open_store(address)) as store:
        for _ in range(times):
            store.execute(ADD, key="one")
            store.run(add)


def test_rows_are_shared_between_processes_and_survive_a_restart(state_address: str) -> None:
    with closing(open_store(state_address)) as store:
        assert store.execute(ADD, key="k") == [(1,)]
        assert store.execute(ADD, key="k") == [(2,)]

    with closing(open_store(state_address)) as another:
        assert another.execute(COUNT, key="k") == [(2,)]
        assert another.execute(COUNT, key="other") == []


def test_processes_that_start_together_lose_no_write(state_address: str) -> None:
    processes, times = 4, 50
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        for done in [pool.submit(add_many, state_address, times) for _ in range(processes)]:
            done.result()

    with closing(open_store(state_address)) as store:
        assert store.execute(COUNT, key="one") == [(processes * times,)]
        assert store.execute(COUNT, key="both") == [(processes * times * 2,)]


def test_threads_of_one_store_lose_no_write(store: Store) -> None:
    together = threading.Barrier(8)

    def add(_: int) -> None:
        together.wait()
        for _ in range(20):
            store.execute(ADD, key="k")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))

    assert store.execute(COUNT, key="k") == [(160,)]


def test_stores_that_create_a_database_together_all_find_its_tables(state_address: str) -> None:
    stores = [open_store(state_address) for _ in range(8)]
    together = threading.Barrier(len(stores))

    def use(store: Store) -> list[Any]:
        together.wait()
        with closing(store):
            return store.execute(COUNT, key="k")

    with ThreadPoolExecutor(len(stores)) as pool:
        assert list(pool.map(use, stores)) == [[]] * len(stores)


def test_a_store_that_only_reads_finds_nothing_in_a_new_database_and_creates_nothing(
    state_address: str,
) -> None:
    with closing(open_store(state_address, reads_only=True)) as store:
        assert store.execute(COUNT, key="k") == []
    if "://" in state_address:
        with closing(psycopg2.connect(state_address)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('gsc_api_breakers')")
            assert cursor.fetchone() == (None,)
    else:
        assert not Path(state_address).exists()


def test_a_store_that_only_reads_sees_what_others_write_and_writes_nothing(
    store: Store, state_address: str
) -> None:
    store.execute(ADD, key="k")
    with closing(open_store(state_address, reads_only=True)) as reader:
        assert reader.execute(COUNT, key="k") == [(1,)]
        store.execute(ADD, key="k")
        assert reader.execute(COUNT, key="k") == [(2,)]
        with pytest.raises(StateError, match=r"read-?only"):
            reader.execute(ADD, key="k")
    assert store.execute(COUNT, key="k") == [(2,)]


def test_an_exception_rolls_the_transaction_back_and_is_raised(store: Store) -> None:
    def fail(execute: Execute) -> None:
        execute(ADD, key="k")
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        store.run(fail)

    assert store.execute(COUNT, key="k") == []
    assert store.run(lambda execute: execute(ADD, key="k")) == [(1,)]


def test_a_store_that_was_closed_opens_again_when_it_is_used(store: Store) -> None:
    store.execute(ADD, key="k")
    store.close()
    store.close()
    assert store.execute(COUNT, key="k") == [(1,)]


def test_a_wrong_statement_is_not_retried(store: Store) -> None:
    with pytest.raises(StateError, match="no_such_column"):
        store.execute("SELECT no_such_column FROM gsc_api_breakers")


def test_times_keep_their_microseconds(store: Store) -> None:
    moment = 1_795_291_200.123456
    store.execute("INSERT INTO gsc_api_limits (key, next_at) VALUES (:key, :at)", key="k", at=moment)
    assert store.execute("SELECT next_at, share, share_at FROM gsc_api_limits") == [(moment, 1.0, None)]


def test_creating_a_store_opens_nothing(tmp_path: Path) -> None:
    open_store(str(tmp_path / "state.db")).close()
    open_store("postgresql://nobody@nowhere.invalid/x").close()
    assert list(tmp_path.iterdir()) == []


def test_an_unusable_path_is_reported_with_the_setting_to_check(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with (
        closing(open_store(str(tmp_path / "file" / "state.db"))) as store,
        pytest.raises(StateError) as caught,
    ):
        store.execute(COUNT, key="k")
    assert isinstance(caught.value, PipelineError)
    assert str(caught.value).startswith(f"the shared state {tmp_path}/file/state.db cannot be used (")
    assert "check GSC_STATE" in str(caught.value)


def test_a_file_that_is_not_a_database_is_reported_and_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    file.write_text("somebody's notes, longer than the header of a SQLite file" * 40, encoding="utf-8")
    with (
        closing(open_store(str(file))) as store,
        pytest.raises(
            StateError, match=r"not a database\): .* stop Dagster .* delete it: .* alerts may be sent again"
        ),
    ):
        store.execute(COUNT, key="k")
    assert file.read_text(encoding="utf-8").startswith("somebody's notes")


def test_a_file_deleted_under_a_running_process_is_created_again(tmp_path: Path) -> None:
    with closing(open_store(str(tmp_path / "state.db"))) as store:
        store.execute(ADD, key="k")
        for file in tmp_path.iterdir():
            file.unlink()
        assert store.execute(ADD, key="k") == [(1,)]
    with closing(open_store(str(tmp_path / "state.db"))) as another:
        assert another.execute(COUNT, key="k") == [(1,)]


def test_a_store_in_a_file_closes_its_connection_when_it_is_deleted(tmp_path: Path) -> None:
    script = (
        "import warnings; warnings.simplefilter('error')\n"
        "from gsc_pipeline.state.opening import open_store\n"
        f"store = open_store({str(tmp_path / 'state.db')!r})\n"
        "store.execute('SELECT 1'); del store"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert [file.name for file in tmp_path.iterdir()] == ["state.db"]


def test_a_store_in_a_file_imports_only_sqlites_library(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from gsc_pipeline.state.opening import open_store\n"
        f"store = open_store({str(tmp_path / 'state.db')!r})\n"
        "store.execute('SELECT 1'); store.close()\n"
        "print(sorted({'sqlalchemy', 'psycopg2', 'dagster', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_lost_connection_is_opened_again(postgres_url: str) -> None:
    waits: list[float] = []
    with closing(open_store(postgres_url, sleep=waits.append)) as store:
        store.execute(ADD, key="k")
        cut_connections(postgres_url)
        assert store.execute(ADD, key="k") == [(2,)]
        cut_connections(postgres_url)
        assert store.run(lambda execute: execute(ADD, key="k")) == [(3,)]
    assert waits == [0.2, 0.2]


def test_a_transaction_is_retried_from_its_start_when_the_connection_is_lost(postgres_url: str) -> None:
    started: list[int] = []

    def add(execute: Execute) -> list[Any]:
        started.append(1)
        execute(ADD, key="k")
        if len(started) == 1:
            cut_connections(postgres_url)
        return execute(ADD, key="k")

    with closing(open_store(postgres_url, sleep=lambda seconds: None)) as store:
        assert store.run(add) == [(2,)]
    assert len(started) == 2


def test_a_server_that_stays_down_is_reported_after_the_retries(tmp_path: Path) -> None:
    waits: list[float] = []
    url = f"postgresql://sync:s3cr%40t@/pipeline?host={tmp_path}"
    with closing(open_store(url, sleep=waits.append)) as store, pytest.raises(StateError) as caught:
        store.execute(COUNT, key="k")
    text = str(caught.value)
    assert text.startswith("the shared state in PostgreSQL at the local socket/pipeline cannot be used (")
    assert "No such file or directory" in text
    assert "check GSC_STATE" in text
    assert "s3cr" not in text
    assert waits == [0.2, 0.5, 1.0, 2.0, 4.0]


def test_a_role_that_may_not_create_tables_can_use_existing_ones(postgres_url: str) -> None:
    with closing(open_store(postgres_url)) as owner:
        owner.execute(ADD, key="k")
        owner.execute("DROP ROLE IF EXISTS modest")
        owner.execute("CREATE ROLE modest LOGIN")
        owner.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO modest")
    with closing(open_store(postgres_url.replace("//postgres:@", "//modest:@"))) as modest:
        assert modest.execute(ADD, key="k") == [(2,)]


@pytest.mark.parametrize(
    "url", ["postgresql://u:p%2Fw@host/db", "postgresql://u@host/db?password=p%2Fw", "postgresql://host/db"]
)
def test_errors_contain_no_spelling_of_the_password(url: str) -> None:
    assert "p/w" not in without_secrets("bad p/w and p%2Fw", url) or "p%2Fw" not in url
    assert without_secrets("nothing secret", url) == "nothing secret"


def cut_connections(url: str) -> None:
    """Close all other connections to the database, as a restart of the server does."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    connection.close()
