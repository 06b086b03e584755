"""Signals as the kernel may deliver them."""

from __future__ import annotations

import ctypes
from pathlib import Path


def send_to_another_thread(pid: int, number: int) -> None:
    """Send a signal to a thread of the process that is not its main thread, as the kernel may do."""
    others = [task for task in Path(f"/proc/{pid}/task").iterdir() if int(task.name) != pid]
    receiver = next(int(task.name) for task in others if not _blocked(task) >> (number - 1) & 1)
    if ctypes.CDLL(None, use_errno=True).tgkill(pid, receiver, number):
        raise OSError(ctypes.get_errno(), "tgkill")


def _blocked(task: Path) -> int:
    """The signals that a thread blocks, one bit each."""
    lines = (task / "status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("SigBlk:")), 16)
