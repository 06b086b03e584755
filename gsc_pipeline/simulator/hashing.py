"""Repeatable random numbers: each is a hash of what it is for, so no draw depends on another."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def seed_of(*words: str) -> int:
    """A 64-bit seed, the same for these words on every machine and in every process."""
    return int.from_bytes(blake2b("\0".join(words).encode(), digest_size=8).digest(), "little")


def hashed(seed: int, *parts: npt.NDArray[Any] | int) -> npt.NDArray[np.uint64]:
    """One 64-bit hash for each element of the broadcast integer `parts`; at least one dimension."""
    with np.errstate(over="ignore"):
        state = np.array([seed & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64)
        for part in parts:
            state = _finish(state + np.asarray(part).astype(np.int64).view(np.uint64) * _STEP + _STEP)
    return state


def uniform(seed: int, *parts: npt.NDArray[Any] | int) -> npt.NDArray[np.float64]:
    """One number in [0, 1) for each element of the broadcast integer `parts`."""
    return (hashed(seed, *parts) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _finish(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return state ^ (state >> np.uint64(31))
