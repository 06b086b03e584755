"""Writes text files as a whole: readers see the earlier file, or none, or the complete new one."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

PRIVATE = 0o600
"""The mode of a file that only its owner may read."""


def write_new(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file that is not there yet. Raises FileExistsError if it is, and OSError."""
    made = _beside(path, text, mode)
    try:
        # Unlike a rename, it fails if the file exists.
        path.hardlink_to(made)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links.
        if path.exists():
            raise FileExistsError(path) from None
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)


def replace(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file, or replace it. Where it is a link, its target is replaced. Raises OSError."""
    path = path.resolve()
    made = _beside(path, text, mode)
    try:
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)


def _beside(path: Path, text: str, mode: int) -> Path:
    """A new file in the same folder, written to the disk. A missing folder is created for its owner alone."""
    path.parent.mkdir(mode=0o700 if mode == PRIVATE else 0o777, parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:  # noqa: PTH123
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        made.unlink(missing_ok=True)
        raise
    return made
