"""What can go wrong with the lake.

LakeError            the lake cannot be read or written
├── DamagedError     some of a table's files cannot be used; other workspaces' files can
└── NewerLakeError   a newer release wrote the lake
"""

from __future__ import annotations

import re

from gsc_pipeline.errors import PipelineError


class LakeError(PipelineError):
    """The lake cannot be read or written. Shared by every workspace, so nothing can go on."""


class DamagedError(LakeError):
    """Files of a table are missing or cannot be read. `workspace` and `month` are empty where unknown."""

    def __init__(
        self, message: str, *, table: str, workspace: str = "", month: str = "", path: str = ""
    ) -> None:
        super().__init__(message)
        self.table = table
        self.workspace = workspace
        self.month = month
        self.path = path


class NewerLakeError(LakeError):
    """A newer release wrote the lake, and this one does not know its form."""


def cannot(action: str, uri: str, error: Exception) -> LakeError:
    """The error to raise where the storage does not let a table be read or written."""
    # Delta's own backtrace says nothing to anyone here.
    cause = re.split(r"\s+0: \S.*?\s+1: ", " ".join(str(error).split()))[0][:300]
    return LakeError(f"cannot {action} {uri} ({cause}): check GSC_LAKE, its permissions and the space left")


def unreadable(uri: str, error: Exception) -> LakeError:
    """The error to raise where the storage does not let a table be read."""
    return cannot("read", uri, error)
