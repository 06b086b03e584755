"""The errors of the lake.

LakeError            the lake cannot be read or written
├── DamagedError     some files of a table cannot be used; other workspaces may not be affected
└── NewerLakeError   a newer release wrote the lake
"""

from __future__ import annotations

import re

from deltalake.exceptions import DeltaProtocolError

from gsc_pipeline.errors import PipelineError
from gsc_pipeline.text.secrets import masked


class LakeError(PipelineError):
    """The lake cannot be read or written. All workspaces share it, so the sync stops."""

    def __init__(self, message: str) -> None:
        super().__init__(masked(message))


class DamagedError(LakeError):
    """Files of a table are missing or unreadable. `workspace` and `month` are empty if unknown."""

    def __init__(
        self, message: str, *, table: str, workspace: str = "", month: str = "", path: str = ""
    ) -> None:
        super().__init__(message)
        self.table = table
        self.workspace = workspace
        self.month = month
        self.path = path


class NewerLakeError(LakeError):
    """A newer release wrote the lake in a format that this release does not know."""


def cannot(action: str, uri: str, error: Exception) -> LakeError:
    """The error to raise if a table cannot be read or written. `action` is a verb, such as "write"."""
    step = "check GSC_LAKE, its permissions and the free space"
    if isinstance(error, DeltaProtocolError):
        step = "another program changed the table: undo that with it, or restore the table from a backup"
    return LakeError(f"cannot {action} {uri} ({cause_of(error)}): {step}")


def crowded_out(uri: str, attempts: int, error: Exception) -> LakeError:
    """The error to raise if other commits came first in every attempt to commit."""
    return LakeError(
        f"cannot write {uri}: other commits came first in each of {attempts} attempts ({cause_of(error)}). "
        "The next sync continues from there; fewer runs at once or more workspaces in a run "
        "(GSC_WORKSPACES_PER_RUN) make fewer commits"
    )


def cause_of(error: Exception) -> str:
    """The cause in an error of Delta or of an object store, in one short line."""
    # Delta prints an error's causes below each other, with coloured arrows.
    text = " ".join(re.sub(r"\s*\x1b\[\d+m↳\x1b\[0m\s*", ": ", str(error)).split())
    without_backtrace = re.split(r"\s+0: \S.*?\s+1: ", text)[0]
    without_query = re.sub(r"(https?://[^\s?]+)\?\S*", r"\1", without_backtrace)
    code = re.sub(r"<\?xml.*?<Code>(\w+)</Code>.*?(</Error>|$)", r"\1", without_query)
    return code.replace("Server returned non-2xx status code: ", "")[:300]


def unreadable(uri: str, error: Exception) -> LakeError:
    """The error to raise if a table cannot be read."""
    return cannot("read", uri, error)
