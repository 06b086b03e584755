"""The command's own log on standard error: text for people, JSON lines for collectors.

Belongs here: form and level. Does not: what is logged, nor Dagster's log, which has settings of its own.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from typing_extensions import override

TEXT = logging.Formatter("%(levelname)s %(name)s: %(message)s")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: at (UTC, ISO), level, logger, message, and exception where there is one."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


class _StandardError(logging.Handler):
    """Writes to whatever standard error is at the moment, so that it may be replaced."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)  # noqa: T201


def configure_logging(log_format: str, level: str) -> None:
    """Log this project from `level` on, and libraries from warnings on. Doing it again replaces it.

    `log_format` is text or json, as in GSC_LOG_FORMAT. Only a program's own start may call this.
    """
    root = logging.getLogger()
    handler = _StandardError()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TEXT)
    for earlier in [one for one in root.handlers if isinstance(one, _StandardError)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    logging.getLogger("gsc_pipeline").setLevel(level.upper())
