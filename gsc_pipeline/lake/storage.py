"""A table's files as an Arrow file system: the native one for a folder, Delta's for an object store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import pyarrow.fs as pa_fs
from deltalake.fs import DeltaStorageHandler


def folder_of(uri: str) -> Path | None:
    """The folder that a table or a lake is in; None for an object store."""
    if "://" not in uri:
        return Path(uri)
    return Path(url2pathname(urlsplit(uri).path)) if uri.startswith("file://") else None


def storage_of(uri: str, sizes: Mapping[str, int] | None = None) -> pa_fs.FileSystem:
    """The files under `uri`, by paths relative to it. `sizes` spares an object store a call for each file.

    Arrow's threads may still call a Python file system while the interpreter ends, which aborts the
    process. So a folder is never read by one.
    """
    folder = folder_of(uri)
    if folder is not None:
        return pa_fs.SubTreeFileSystem(str(folder), pa_fs.LocalFileSystem())
    return pa_fs.PyFileSystem(DeltaStorageHandler(uri, None, dict(sizes) if sizes else None))


def stored_path(logged: str) -> str:
    """The path of a file in the storage. Delta's log holds it encoded as a part of a URI."""
    return unquote(logged)
