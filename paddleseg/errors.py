"""The project's own errors: each message is written for the person who has to act on it.

The four programs print a :class:`PaddleSegError` without a traceback and end with exit status 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DeviceError",
    "OutputError",
    "PaddleSegError",
    "RegistryError",
    "UsageError",
    "WeightsError",
    "did_you_mean",
]


class PaddleSegError(Exception):
    """Base of every error that the user can fix."""


class ConfigError(PaddleSegError):
    """The configuration is wrong: a file, a key, a type, a value or a combination of them."""


class UsageError(PaddleSegError):
    """The command line asks for something that cannot be done."""


class RegistryError(PaddleSegError):
    """A component name is unknown, or taken already."""


class DataError(PaddleSegError):
    """An image, a label or a data-set folder is missing, unreadable or inconsistent."""


class WeightsError(PaddleSegError):
    """A weights file cannot be found, downloaded, read safely or matched with the model."""


class CheckpointError(PaddleSegError):
    """A training checkpoint is missing, incomplete or does not belong to this run."""


class DeviceError(PaddleSegError):
    """The requested device or precision is not available."""


class OutputError(PaddleSegError):
    """Results cannot be written: the target is a file, not writable or the disk is full."""


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Suggests the nearest known name.

    Args:
        name: What the user wrote.
        candidates: The names that exist.

    Returns:
        ``"; did you mean 'X'?"``, or an empty string when nothing is near.
    """
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean '{by_lower[near[0]]}'?" if near else ""
