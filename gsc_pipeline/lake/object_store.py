"""Refuses object stores and settings under which two commits at once could lose rows.

Delta writes a commit as the object of the next version, if that object is absent. A store that ignores this
condition overwrites one of two commits at once, and with it the rows of a whole run, without any sign.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pyarrow as pa
import pyarrow.fs as pa_fs
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.fs import DeltaStorageHandler

from gsc_pipeline.days import utc_now
from gsc_pipeline.lake.errors import LakeError, cannot
from gsc_pipeline.lake.storage import folder_of, storage_of

log = logging.getLogger(__name__)

FOLDER = "_store"
"""The folder of the lake that holds the probes and what they found. It is no table."""

REMEMBERED = timedelta(days=7)
"""How long the lake remembers a probe. The product behind an address can change, but not often."""

_SCHEMA = pa.schema([("writer", pa.int64())])
_WRITERS = 4
_ROUNDS = 20
"""In about three of four rounds a second writer looks for the table before the first has put its commit."""
_UNSET = ("", "0", "false", "no", "off", "n", "f")


class StoreCheck:
    """Checks the store of one lake, once for a process."""

    def __init__(self, lake_uri: str) -> None:
        self._lake_uri = lake_uri
        self._lock = threading.Lock()
        self._is_done = folder_of(lake_uri) is not None

    def refuse_unsafe(self) -> None:
        """Raise LakeError if commits at once could lose rows, or if the store cannot be probed.

        The lake remembers that its store is safe, so this usually takes one request.
        """
        with self._lock:
            if self._is_done:
                return
            if problems := unsafe_settings(self._lake_uri, os.environ):
                raise LakeError(problems[0])
            try:
                self._probe_unless_known()
            except (DeltaError, OSError, pa.ArrowException) as error:
                raise cannot("probe the store of", self._lake_uri, error) from error
            self._is_done = True

    def _probe_unless_known(self) -> None:
        files = pa_fs.PyFileSystem(DeltaStorageHandler(self._lake_uri))
        passed = f"{FOLDER}/put-if-absent-{_address_of(self._lake_uri)}"
        (known,) = files.get_file_info([passed])
        if known.mtime is not None and known.mtime > utc_now() - REMEMBERED:
            return
        if not _probe(self._lake_uri, files, passed):
            raise LakeError(
                f"cannot write {self._lake_uri}: its object store ignores put-if-absent (it accepted the "
                "same key twice), so of two commits at once one would be lost with its rows. Use a store "
                "that honours If-None-Match: *, such as Amazon S3, Google Cloud Storage, Azure Blob "
                "Storage, Cloudflare R2 or MinIO, or a folder (docs/configuration.md, Object stores)"
            )


def probe_store(lake_uri: str) -> bool:
    """Whether the store of a lake, or its folder, refuses one of two commits at once. Tried now.

    What is written is removed again. Raises LakeError if the lake cannot be written.
    """
    folder = folder_of(lake_uri)
    try:
        files = storage_of(lake_uri) if folder else pa_fs.PyFileSystem(DeltaStorageHandler(lake_uri))
        try:
            return _probe(lake_uri, files)
        finally:
            if folder and (folder / FOLDER).is_dir() and not any((folder / FOLDER).iterdir()):
                (folder / FOLDER).rmdir()
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise cannot("write", lake_uri, error) from error


def unsafe_settings(lake_uri: str, variables: Mapping[str, str]) -> Sequence[str]:
    """A line for each variable under which Delta's commits in S3 are not, or would not be, put-if-absent."""
    if not lake_uri.startswith(("s3://", "s3a://")):
        return []
    found = {name: _ASKS_FOR.get(_kind(name.upper(), value)) for name, value in sorted(variables.items())}
    return [
        f"{name} asks for {what}: remove it. Commits to {lake_uri} use the store's put-if-absent instead"
        for name, what in found.items()
        if what
    ]


_ASKS_FOR = {
    "rename": "unsafe renames, under which of two commits at once one is lost",
    "lock": "a lock in DynamoDB, which Delta no longer has",
    "no condition": "commits without put-if-absent",
}


def _kind(name: str, value: str) -> str:
    value = value.strip().lower()
    if name == "AWS_S3_ALLOW_UNSAFE_RENAME" and value not in _UNSET:
        return "rename"
    if name == "AWS_S3_LOCKING_PROVIDER" or name.startswith(("DELTA_DYNAMO_", "DYNAMO_LOCK_")):
        return "lock" if value else ""
    if name in ("AWS_CONDITIONAL_PUT", "CONDITIONAL_PUT") and value not in ("", "etag"):
        return "lock" if value.startswith("dynamo") else "no condition"
    return ""


def _probe(lake_uri: str, files: pa_fs.FileSystem, passed: str = "") -> bool:
    """Whether the store refuses to overwrite: writers put the first commit of one table at the same moment.

    This goes the way of every commit, with Delta's own credentials and settings. Each round has a key of its
    own, so that probes of several processes do not meet. With `passed`, a commit that is moved there records
    that the store refuses. Raises LakeError if in no round a second writer was early enough to be refused.
    """
    for _ in range(_ROUNDS):
        path = f"{FOLDER}/probe-{uuid.uuid4().hex}"
        uri = f"{lake_uri}/{path}"
        try:
            with ThreadPoolExecutor(_WRITERS) as pool:
                outcomes = list(pool.map(_create, [uri] * _WRITERS))
            accepted = outcomes.count("accepted")
            if accepted > DeltaTable(uri).version() + 1:
                return False
            if accepted > 1 or "refused" in outcomes:
                if passed:
                    files.move(f"{path}/_delta_log/{0:020d}.json", passed)
                return True
        finally:
            _delete(path, files)
    raise LakeError(
        f"cannot write {lake_uri}: in {_ROUNDS} rounds no two writers met, so it is unknown whether its "
        "object store honours put-if-absent. Try again"
    )


def _create(uri: str) -> str:
    """Create a table, unless another writer already has: then no commit is put."""
    try:
        # A commit that is refused may be made again, as the next version.
        DeltaTable.create(uri, _SCHEMA)
    except CommitFailedError:
        return "refused"
    except DeltaError as error:
        if "already exists" not in str(error):
            raise
        return "too late"
    return "accepted"


def _delete(path: str, files: pa_fs.FileSystem) -> None:
    try:
        files.delete_dir(path)
    except OSError as error:
        log.warning("%s could not be deleted (%s): delete it, it is not part of the lake", path, error)


def _address_of(lake_uri: str) -> str:
    """A short text for the address of the store, so that a copy of the lake in another store is probed."""
    variables = ((name.upper(), value) for name, value in os.environ.items() if value)
    endpoints = sorted(f"{name}={value}" for name, value in variables if "ENDPOINT" in name)
    return hashlib.sha256("\n".join([lake_uri, *endpoints]).encode()).hexdigest()[:16]
