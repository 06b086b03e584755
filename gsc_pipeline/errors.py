"""The base class of the errors that end a command with one line instead of a traceback.

A failure that does not end a sync, such as a refused property, is not one of them: the sync reports it.
"""

from __future__ import annotations


class PipelineError(Exception):
    """Needs a person's attention. Says what failed, where and what to do next, and contains no secret."""
