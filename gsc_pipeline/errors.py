"""The base of every error that ends a command in one clear line instead of a traceback.

What fails within a sync without ending it (a refused property, say) is no such error: it is part of the
sync's report.
"""

from __future__ import annotations


class PipelineError(Exception):
    """Something a person has to know: the text says what, where and what to do next, and holds no secret."""
