"""Who may read the file that holds a key.

Belongs here: noticing that too many may. Does not: reading the key (`auth`), which goes on either way.
"""

from __future__ import annotations

import functools
import logging
import os
import shlex
import stat
from pathlib import Path

log = logging.getLogger(__name__)

_OTHERS = stat.S_IRGRP | stat.S_IROTH


@functools.cache
def warn_of_others(path: Path) -> None:
    """Log a warning, once a process, where the file's group or everybody may read it.

    Not on Windows, whose files have no such bits. A file that is not there is its reader's to tell of.
    """
    if os.name != "posix":
        return
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return
    if mode & _OTHERS:
        log.warning(
            "the key file %s can be read by others (mode %03o): run chmod 600 %s",
            path,
            mode,
            shlex.quote(str(path)),
            extra={"event": "key_file.readable_by_others", "key_file": str(path), "mode": f"{mode:03o}"},
        )
