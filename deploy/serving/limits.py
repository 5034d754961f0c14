"""What one request, and all of them together, may take; and how a request is refused."""

from __future__ import annotations

import contextlib
import re
from argparse import ArgumentTypeError
from collections.abc import Iterator
from dataclasses import dataclass

import cv2

from paddleseg.errors import DataError

__all__ = ["Limits", "RequestError", "amount", "lack_of_memory"]

_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True)
class Limits:
    """The service's limits.

    Attributes:
        max_batch: Images that the model takes at once.
        max_wait_ms: Longest time that an image waits for others to share its batch, in milliseconds.
        queue: Requests under way at once, from the first byte of the body to the answer; more get status 429.
        max_bytes: Largest upload.
        max_pixels: Largest picture, and half of what all pictures under way may have together.
        timeout: Seconds for the upload, and again for the answer; on CPU it must grow with ``max_pixels``.
    """

    max_batch: int = 4
    max_wait_ms: float = 5.0
    queue: int = 16
    max_bytes: int = 20_000_000
    max_pixels: int = 4_194_304
    timeout: float = 60.0


class RequestError(Exception):
    """A request that is answered with an error.

    Args:
        status: Status code of HTTP.
        message: For the client: what came, what was expected, what to do.
        retry_after: Seconds after which the same request may succeed.
    """

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}


@contextlib.contextmanager
def lack_of_memory() -> Iterator[None]:
    """Refuses a request for which there is no memory; other errors pass.

    Raises:
        RequestError: Status 503.
    """
    try:
        yield
    except (MemoryError, cv2.error, DataError) as error:
        # An image that OpenCV cannot decode is a DataError, for whatever reason.
        reason = error.__cause__ if isinstance(error, DataError) else error
        is_memory = isinstance(reason, MemoryError) or (
            isinstance(reason, cv2.error) and reason.code == cv2.Error.StsNoMem
        )
        if not is_memory:
            raise
        raise RequestError(503, "no memory for this image now; try again", retry_after=5) from error


def amount(text: str) -> int:
    """An argparse type: ``20MB``, ``33M``, ``4096``; the factors are powers of 1000."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)B?", text.strip(), re.IGNORECASE | re.ASCII)
    value = int(float(match[1]) * _FACTORS[match[2].upper()]) if match else 0
    if value < 1:
        raise ArgumentTypeError(f"got '{text}'; expected a number such as 500K, 20MB or 33M")
    return value
