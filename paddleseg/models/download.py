"""Downloads into a cache folder: resumed when broken off, checked, and whole wherever the final name is."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import socket
import ssl
import string
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from paddleseg.errors import WeightsError

try:
    import fcntl
except ImportError:  # Windows: two processes that fetch one file at the same moment are not kept apart there
    fcntl = None  # type: ignore[assignment]

__all__ = ["DEFAULT_CACHE", "cached_path", "fetch", "file_sha256"]

DEFAULT_CACHE = Path("~/.cache/paddleseg")

_CHUNK = 1 << 18
_RETRIED_STATUS = (408, 425, 429)


class _BrokenOffError(Exception):
    """The connection failed in a way that another attempt may mend."""


@dataclass(frozen=True)
class _Progress:
    """What is known of a download that has begun; kept beside its ``.part`` file."""

    validator: str | None  # ETag or Last-Modified of the version that the part belongs to
    total: int | None  # bytes


def fetch(
    url: str,
    cache_dir: str | Path | None = None,
    sha256: str | None = None,
    *,
    retries: int = 3,
    backoff: float = 1.0,
    timeout: float = 30.0,
) -> Path:
    """Returns the local copy of a file, downloading it on first use.

    Several processes may ask at once: one downloads, the others wait for it. A broken download leaves a
    ``.part`` file, which the next attempt, in this call or a later one, continues.

    Args:
        url: ``http://`` or ``https://`` address.
        cache_dir: Folder of the copies; ``DEFAULT_CACHE`` when None.
        sha256: Expected SHA-256, 64 hexadecimal digits. A cached copy that disagrees is fetched anew.
        retries: Further attempts after the connection broke or the server was busy.
        backoff: Seconds before the first further attempt, doubled for each one after it.
        timeout: Seconds without an answer after which the connection counts as broken.

    Returns:
        The file in the cache.

    Raises:
        WeightsError: The address is not http(s), the file cannot be had or stored, or its checksum differs.
    """
    _check_arguments(url, sha256)
    target = cached_path(url, cache_dir)
    if _is_cached(target, sha256):
        return target
    with _storing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target):
        if not _is_cached(target, sha256):  # another process may have finished it meanwhile
            part = target.with_name(f"{target.name}.part")
            _download(url, target, part, retries, backoff, timeout)
            _install(url, part, target, sha256)
    return target


def cached_path(url: str, cache_dir: str | Path | None = None) -> Path:
    """Where the copy of a URL is, or belongs: ``<cache_dir>/<host>/<path of the URL>``.

    Args:
        url: ``http(s)://`` address. Its query, where there is one, becomes a folder named by a hash.
        cache_dir: Folder of the copies; ``DEFAULT_CACHE`` when None.
    """
    parts = urllib.parse.urlsplit(url)
    host = f"{parts.hostname}_{parts.port}" if parts.port else str(parts.hostname)
    *folders, name = [_safe_name(piece) for piece in parts.path.split("/") if piece] or ["index"]
    if parts.query:
        folders.append(f"query-{hashlib.sha256(parts.query.encode()).hexdigest()[:16]}")
    return Path(cache_dir or DEFAULT_CACHE).expanduser().joinpath(_safe_name(host), *folders, name)


def _safe_name(piece: str) -> str:
    """Escapes what could leave the folder or means something to a file system."""
    name = urllib.parse.quote(piece, safe="%~+=@,()")
    return name.replace(".", "%2E") if set(name) == {"."} else name


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check_arguments(url: str, sha256: str | None) -> None:
    try:
        parts = urllib.parse.urlsplit(url)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, an unclosed bracket
        is_web = False
    if not is_web:
        raise WeightsError(f"{url}: not an http:// or https:// address")
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise WeightsError(f"sha256 of {url}: expected 64 hexadecimal digits, got '{sha256}'")


def _is_cached(target: Path, sha256: str | None) -> bool:
    return target.is_file() and (sha256 is None or file_sha256(target) == sha256.lower())


@contextmanager
def _storing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WeightsError(
            f"cannot store {target}: {error.strerror or error}; make room, or choose another cache folder"
        ) from error


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    """Keeps other processes out; the system lets go of the lock even when this process is killed."""
    if fcntl is None:
        yield
        return
    with _storing(target):
        handle = os.open(target.with_name(f".{target.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with _storing(target):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _download(url: str, target: Path, part: Path, retries: int, backoff: float, timeout: float) -> None:
    for attempt in range(retries + 1):
        try:
            _attempt(url, part, timeout)
            return
        except _BrokenOffError as error:
            reason = str(error)
        except (OSError, http.client.HTTPException) as error:
            raise WeightsError(_failure(url, target, _describe(error))) from error
        if attempt < retries:
            time.sleep(backoff * 2**attempt)
    kept = f"; {part.stat().st_size} bytes are kept, another run continues there" if part.exists() else ""
    raise WeightsError(_failure(url, target, f"{reason}, after {retries + 1} attempts{kept}"))


def _failure(url: str, target: Path, reason: str) -> str:
    return (
        f"cannot download {url}: {reason}. To do without the connection, put the file at {target}, "
        "or name a local file in place of the URL"
    )


def _describe(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__)


def _is_passing(error: Exception) -> bool:
    """Whether waiting may help: not with an unknown host, a refused connection or a missing file."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= 500 or error.code in _RETRIED_STATUS
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return not isinstance(cause, (str, ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError))


def _attempt(url: str, part: Path, timeout: float) -> None:
    """Asks for what is missing of the part, or for everything, and appends what comes."""
    offset = part.stat().st_size if part.exists() else 0
    begun = _read_progress(part) if offset else None
    if begun is not None and offset == begun.total:
        return  # stopped between the last byte and the new name
    address = urllib.parse.quote(url, safe=string.punctuation)  # spaces and letters beyond ASCII
    request = urllib.request.Request(
        address, headers={"User-Agent": "paddleseg", "Accept-Encoding": "identity"}
    )
    if begun is not None:
        request.add_header("Range", f"bytes={offset}-")
        if begun.validator:
            request.add_header("If-Range", begun.validator)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            if begun is None or not _continues(response, offset, begun):
                if response.status == http.HTTPStatus.PARTIAL_CONTENT:
                    _discard(part)
                    raise _BrokenOffError(
                        "the file changed on the server, or it sent another range than asked for"
                    )
                offset, begun = 0, _start(response, part)
            _append(response, part, offset, begun.total)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and begun is not None:
            _discard(part)
            raise _BrokenOffError("the file is shorter now than the part that was kept of it") from error
        if _is_passing(error):
            raise _BrokenOffError(_describe(error)) from error
        raise
    except (OSError, http.client.HTTPException) as error:
        if _is_passing(error):
            raise _BrokenOffError(_describe(error)) from error
        raise


def _continues(response: http.client.HTTPResponse, offset: int, begun: _Progress) -> bool:
    """Whether the answer is the rest of the same file, not all of it or of another version."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return False
    span = re.match(r"bytes (\d+)-\d+/(\d+|\*)$", response.headers.get("Content-Range", ""))
    if span is None or int(span[1]) != offset:
        return False
    return span[2] == "*" or begun.total is None or int(span[2]) == begun.total


def _start(response: http.client.HTTPResponse, part: Path) -> _Progress:
    """Empties the part and notes which version of the file it will hold."""
    etag = response.headers.get("ETag", "")
    strong_etag = etag if etag.startswith('"') else None  # If-Range may not carry a weak one
    length = response.headers.get("Content-Length", "")
    begun = _Progress(
        validator=strong_etag or response.headers.get("Last-Modified"),
        total=int(length) if length.isdigit() else None,
    )
    with _storing(part):
        part.write_bytes(b"")
        _progress_file(part).write_text(json.dumps([begun.validator, begun.total]))
    return begun


def _append(response: http.client.HTTPResponse, part: Path, offset: int, total: int | None) -> None:
    with (
        _storing(part),
        part.open("ab") as file,
        tqdm(
            total=total,
            initial=offset,
            unit="B",
            unit_scale=True,
            desc=part.name[: -len(".part")],
            disable=None,
        ) as bar,
    ):
        while block := _receive(response):
            file.write(block)
            bar.update(len(block))
    size = part.stat().st_size
    if total is not None and size < total:
        raise _BrokenOffError(f"the connection ended after {size} of {total} bytes")
    if total is not None and size > total:
        _discard(part)
        raise _BrokenOffError(f"{size} bytes came where {total} were announced")


def _receive(response: http.client.HTTPResponse) -> bytes:
    """One block, its network errors told apart from those of the disk that it is written to."""
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(_describe(error)) from error


def _progress_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_progress(part: Path) -> _Progress | None:
    """None, which means a fresh start, where the note is missing or damaged."""
    try:
        validator, total = json.loads(_progress_file(part).read_text())
    except (OSError, ValueError, TypeError):
        return None
    return _Progress(validator, total)


def _discard(part: Path) -> None:
    with _storing(part):
        part.unlink(missing_ok=True)
        _progress_file(part).unlink(missing_ok=True)


def _install(url: str, part: Path, target: Path, sha256: str | None) -> None:
    """Gives a finished part its final name, if it is what was expected."""
    if sha256 is not None and (got := file_sha256(part)) != sha256.lower():
        _discard(part)
        raise WeightsError(
            f"{url}: the SHA-256 of the downloaded file is {got}, expected {sha256.lower()}; it was removed"
        )
    with _storing(target):
        part.replace(target)
        _progress_file(part).unlink(missing_ok=True)
