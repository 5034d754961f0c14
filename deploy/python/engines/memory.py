"""Lack of memory, which each engine reports in its own way, as MemoryError."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

__all__ = ["lack_of_memory"]

_WORDS = ("failed to allocate", "cannot allocate memory", "out of memory", "bad_alloc", "bad allocation")


@contextlib.contextmanager
def lack_of_memory() -> Iterator[None]:
    """Raises MemoryError for what an engine raises when an allocation fails; other errors pass.

    Raises:
        MemoryError: There is no memory for the batch.
    """
    try:
        yield
    except Exception as error:  # ONNX Runtime's have no common base
        if any(word in str(error).lower() for word in _WORDS):
            raise MemoryError(" ".join(str(error).split())[:300]) from error
        raise
