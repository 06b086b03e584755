"""Files of a folder or an object store: as an Arrow file system to read, and written one at a time.

An object store is reached through Delta's own access, with the variables that the tables need.
"""

from __future__ import annotations

import atexit
import time
import uuid
import weakref
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pyarrow as pa
import pyarrow.fs as pa_fs
from deltalake.exceptions import DeltaError
from deltalake.fs import DeltaStorageHandler
from typing_extensions import override

_LONGEST_WAIT_SECONDS = 1.0
"""How long the end of a process waits for Arrow's threads. A scan that was abandoned may never end."""


def absolute(uri: str) -> str:
    """The URI, or the absolute path of a folder, without a slash at its end."""
    return uri.rstrip("/") if "://" in uri else str(Path(uri).absolute())


def folder_of(uri: str) -> Path | None:
    """The folder of a table or lake; None for an object store."""
    if "://" not in uri:
        return Path(uri)
    return Path(url2pathname(urlsplit(uri).path)) if uri.startswith("file://") else None


def storage_of(uri: str, sizes: Mapping[str, int] | None = None) -> pa_fs.FileSystem:
    """The files under `uri`, with paths relative to it. With `sizes`, an object store needs no call per file.

    A folder never uses a Python file system: Arrow's threads could call it during interpreter shutdown,
    which aborts the process.
    """
    folder = folder_of(uri)
    if folder is not None:
        return pa_fs.SubTreeFileSystem(str(folder), pa_fs.LocalFileSystem())
    return python_file_system(uri, sizes)


def write_file(uri: str, name: str, content: bytes, content_type: str) -> str:
    """Write a file under a folder, which is created if missing, or under the URI of an object store.

    Readers see the earlier file or the whole new one. An object has the content type, such as `text/html`,
    so that browsers show it. Returns its path or URI. Raises OSError.
    """
    folder = folder_of(uri)
    if folder is None:
        try:
            _Files(uri, {"default_content_type": content_type}).write(name, content)
        except DeltaError as error:
            raise OSError(str(error)) from error
        return f"{uri.rstrip('/')}/{name}"
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f".{name}.{uuid.uuid4().hex}"
    try:
        made.write_bytes(content)
        made.replace(folder / name)
    finally:
        made.unlink(missing_ok=True)
    return str(folder / name)


def file_names(uri: str) -> set[str]:
    """The names of the files directly in a folder or under the URI of an object store. Raises OSError."""
    found = storage_of(uri).get_file_info(pa_fs.FileSelector("", allow_not_found=True))
    return {one.base_name for one in found if one.is_file}


def python_file_system(uri: str, sizes: Mapping[str, int] | None = None) -> pa_fs.PyFileSystem:
    """Delta's files under `uri`. Before the process ends, it waits until Arrow's threads released them."""
    found = pa_fs.PyFileSystem(_Files(uri, None, dict(sizes) if sizes else None))
    _file_systems.append(found)
    while _opened and _opened[0]() is None:
        _opened.popleft()
    return found


class _Files(DeltaStorageHandler):
    """Remembers the files that Arrow has opened."""

    @override
    def open_input_file(self, path: str) -> pa.PythonFile:
        file = self._handler.open_input_file(path)
        # Without a callback: that would run Python in the thread that releases the file.
        _opened.append(weakref.ref(file))
        return pa.PythonFile(file)

    def write(self, path: str, content: bytes) -> None:
        """Write an object, which appears when its stream is closed: not at all if that fails."""
        # Arrow's stream would hand over its own buffers, which Delta's does not take.
        stream = self._handler.open_output_stream(path, None)
        stream.write(content)
        stream.close()  # type: ignore[attr-defined]


_opened: deque[weakref.ref[Any]] = deque()
_file_systems: deque[pa_fs.PyFileSystem] = deque(maxlen=100)
"""Kept, so that none of Arrow's threads is the last to release one."""


@atexit.register
def wait_for_arrow(longest_seconds: float = _LONGEST_WAIT_SECONDS) -> bool:
    """Wait until Arrow has released all files of Python file systems. Returns whether it has.

    Arrow's threads release a file shortly after the scan that read it has returned. A thread that does so
    during interpreter shutdown aborts the process.
    """
    deadline = time.monotonic() + longest_seconds
    while is_open := any(file() is not None for file in _opened):
        if time.monotonic() > deadline:
            break
        time.sleep(0.001)
    return not is_open
