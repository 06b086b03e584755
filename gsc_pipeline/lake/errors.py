"""What can go wrong with the lake.

LakeError            the lake cannot be read or written
└── DamagedError     some of a table's files cannot be used; other workspaces' files can
"""

from __future__ import annotations

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
