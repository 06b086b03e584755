"""The log of the `gsc` command on standard error, as text or JSON lines."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

from typing_extensions import override

from gsc_pipeline.settings import Settings, load_settings
from gsc_pipeline.text.printing import escaped, json_line


class TextFormatter(logging.Formatter):
    """One line per record, with control characters escaped, and the exception if there is one."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        return escaped(super().formatMessage(record))

    @override
    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record), keep="\n")


class JsonFormatter(logging.Formatter):
    """One JSON object per line: at (UTC, ISO), level, logger, message, and exception if there is one."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = record.exc_text or self.formatException(record.exc_info)
        return json_line(fields)


class _StandardError(logging.Handler):
    """Writes to the current `sys.stderr`, which a program may replace."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)  # noqa: T201


def configure_logging(log_format: str, level: str) -> None:
    """Log this project from `level` on, and libraries from WARNING on. A second call replaces the first.

    Warnings about answers that are not quite HTTP are left out: for each answer they have a traceback, and if
    it cannot be read, the call's own error says so.

    `log_format` is text or json, as in GSC_LOG_FORMAT. For the start of a program only.
    """
    root = logging.getLogger()
    handler = _StandardError()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    for earlier in [one for one in root.handlers if isinstance(one, _StandardError)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    logging.getLogger("gsc_pipeline").setLevel(level.upper())
    for about_answers in ("urllib3.connection", "urllib3.response"):
        logging.getLogger(about_answers).setLevel(logging.ERROR)


def settings_with_log() -> Settings:
    """The settings, with logging configured as they say."""
    settings = load_settings()
    configure_logging(settings.log_format, settings.log_level)
    return settings
