"""Downloads, against a server on this machine that can be told to misbehave."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddleseg.errors import WeightsError
from paddleseg.models import download
from paddleseg.models.download import cached_path, fetch

BODY = np.random.default_rng(0).bytes(1_000_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
NAME = "weights/model.pdparams"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        plan = self.server
        plan.requests.append({name.lower(): value for name, value in self.headers.items()})
        if plan.statuses:
            self.send_error(plan.statuses.pop(0))
            return
        start = self._range_start()
        if start is not None and start >= len(plan.body):
            self.send_error(416)
            return
        body = plan.body[start or 0 :]
        self.send_response(200 if start is None else 206)
        if start is not None:
            total = len(plan.body)
            shown = total if plan.tells_total else "*"
            self.send_header("Content-Range", f"bytes {start + plan.skew}-{total - 1}/{shown}")
        if plan.announces_length:
            self.send_header("Content-Length", str(len(body)))
        if plan.etag:
            self.send_header("ETag", plan.etag)
        self.end_headers()
        cut = plan.cuts.pop(0) if plan.cuts else len(body)
        self.wfile.write(body[:cut])
        if plan.resets and cut < len(body):
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def _range_start(self) -> int | None:
        plan = self.server
        asked = self.headers.get("Range")
        expects_other = self.headers.get("If-Range") not in (None, plan.etag)
        if asked is None or not plan.knows_ranges or expects_other:
            return None
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *arguments: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Serves ``body`` under every path; the attributes say how."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.etag: str | None = '"one"'
        self.knows_ranges = True
        self.announces_length = True
        self.tells_total = True
        self.resets = False  # hangs up with an error instead of an orderly end
        self.skew = 0  # added to the start that Content-Range names
        self.statuses: list[int] = []  # error answers to give first
        self.cuts: list[int] = []  # bytes after which to hang up, for each request
        self.requests: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{NAME}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with Server() as instance:
        thread = threading.Thread(target=instance.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield instance
        instance.shutdown()
        thread.join()


def get(server: Server, cache: Path, sha256: str | None = None, *, retries: int = 2) -> Path:
    return fetch(server.url, cache, sha256, retries=retries, backoff=0.001, timeout=5.0)


def left_in(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock")


# --- what works ---


@pytest.mark.parametrize("announces_length", [True, False])
def test_download_then_cached_without_a_request(
    server: Server, tmp_path: Path, announces_length: bool
) -> None:
    server.announces_length = announces_length
    path = get(server, tmp_path, SHA256.upper())
    assert path == tmp_path / f"127.0.0.1_{server.server_port}" / NAME
    assert path.read_bytes() == BODY
    assert left_in(tmp_path) == ["model.pdparams"]
    assert get(server, tmp_path) == path
    assert get(server, tmp_path, SHA256) == path
    assert len(server.requests) == 1


def test_broken_connection_is_resumed_in_the_same_call(server: Server, tmp_path: Path) -> None:
    server.cuts = [400_000, 300_000]
    assert get(server, tmp_path, SHA256).read_bytes() == BODY
    assert [request.get("range") for request in server.requests] == [None, "bytes=400000-", "bytes=700000-"]
    assert [request.get("if-range") for request in server.requests] == [None, '"one"', '"one"']


@pytest.mark.parametrize("etag", ['"one"', 'W/"weak"', None])
def test_resumed_in_a_later_call(server: Server, tmp_path: Path, etag: str | None) -> None:
    server.etag = etag
    server.cuts = [400_000]
    with pytest.raises(WeightsError, match=r"after 400000 of 1000000 bytes.*400000 bytes are kept"):
        get(server, tmp_path, retries=0)
    assert left_in(tmp_path) == ["model.pdparams.part", "model.pdparams.part.json"]
    assert get(server, tmp_path, SHA256).read_bytes() == BODY
    assert server.requests[1]["range"] == "bytes=400000-"
    assert server.requests[1].get("if-range") == ('"one"' if etag == '"one"' else None)
    assert left_in(tmp_path) == ["model.pdparams"]


def test_server_that_ignores_ranges_sends_all_anew(server: Server, tmp_path: Path) -> None:
    server.knows_ranges = False
    server.cuts = [400_000]
    assert get(server, tmp_path, SHA256).read_bytes() == BODY
    assert server.requests[1]["range"] == "bytes=400000-"


@pytest.mark.parametrize("etags", [('"one"', '"two"'), (None, None)])
@pytest.mark.parametrize("length", [300_000, 400_000, 900_000])
def test_file_that_changed_meanwhile_is_not_mixed(
    server: Server, tmp_path: Path, etags: tuple[str | None, str | None], length: int
) -> None:
    """With an ETag the server notices; without one, the length tells."""
    server.etag = etags[0]
    server.cuts = [400_000]
    with pytest.raises(WeightsError):
        get(server, tmp_path, retries=0)
    server.etag, server.body = etags[1], BODY[::-1][:length]
    assert get(server, tmp_path).read_bytes() == server.body
    assert len(server.requests) == (2 if etags[1] else 3)  # noticed by the first answer


def test_reset_connection_is_resumed(server: Server, tmp_path: Path) -> None:
    server.cuts, server.resets = [400_000], True
    assert get(server, tmp_path, SHA256).read_bytes() == BODY
    assert len(server.requests) == 2


def test_longer_rest_than_announced_is_not_kept(server: Server, tmp_path: Path) -> None:
    server.etag, server.tells_total = None, False
    server.cuts = [400_000]
    with pytest.raises(WeightsError):
        get(server, tmp_path, retries=0)
    server.body = BODY[::-1] + b"more"
    assert get(server, tmp_path).read_bytes() == server.body
    assert [request.get("range") for request in server.requests] == [None, "bytes=400000-", None]


def test_wrong_range_is_not_appended(server: Server, tmp_path: Path) -> None:
    server.cuts = [400_000]
    server.skew = 1
    assert get(server, tmp_path, SHA256).read_bytes() == BODY
    assert [request.get("range") for request in server.requests] == [None, "bytes=400000-", None]


def test_part_without_its_note_is_started_anew(server: Server, tmp_path: Path) -> None:
    target = cached_path(server.url, tmp_path)
    target.parent.mkdir(parents=True)
    target.with_name("model.pdparams.part").write_bytes(b"something else")
    assert get(server, tmp_path, SHA256).read_bytes() == BODY
    assert "range" not in server.requests[0]


def test_complete_part_needs_no_request(server: Server, tmp_path: Path) -> None:
    target = cached_path(server.url, tmp_path)
    target.parent.mkdir(parents=True)
    target.with_name("model.pdparams.part").write_bytes(BODY)
    target.with_name("model.pdparams.part.json").write_text(f"[null, {len(BODY)}]")
    assert get(server, tmp_path, SHA256).read_bytes() == BODY
    assert server.requests == []


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_busy_server_is_asked_again(server: Server, tmp_path: Path, status: int) -> None:
    server.statuses = [status]
    assert get(server, tmp_path, SHA256).read_bytes() == BODY
    assert len(server.requests) == 2


def test_cached_file_with_a_wrong_checksum_is_replaced(server: Server, tmp_path: Path) -> None:
    target = cached_path(server.url, tmp_path)
    target.parent.mkdir(parents=True)
    target.write_bytes(b"an older file")
    assert get(server, tmp_path).read_bytes() == b"an older file"  # no checksum: it is trusted
    assert get(server, tmp_path, SHA256).read_bytes() == BODY


def test_several_at_once_download_once(server: Server, tmp_path: Path) -> None:
    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: results.append(get(server, tmp_path, SHA256).read_bytes()))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [BODY] * 6
    assert len(server.requests) == 1


# --- what fails, and how it is said ---


def test_wrong_checksum(server: Server, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"{SHA256}, expected {'0' * 64}"):
        get(server, tmp_path, "0" * 64)
    assert left_in(tmp_path) == []


def test_not_found_is_not_retried(server: Server, tmp_path: Path) -> None:
    server.statuses = [404] * 5
    with pytest.raises(WeightsError, match="the server answered 404 Not Found"):
        get(server, tmp_path)
    assert len(server.requests) == 1
    assert left_in(tmp_path) == []


def test_truncated_again_and_again(server: Server, tmp_path: Path) -> None:
    server.cuts = [1000, 1000, 1000]
    with pytest.raises(WeightsError, match=r"after 3000 of 1000000 bytes, after 3 attempts"):
        get(server, tmp_path)
    assert not cached_path(server.url, tmp_path).exists()


def test_part_longer_than_the_file_is_started_anew(server: Server, tmp_path: Path) -> None:
    target = cached_path(server.url, tmp_path)
    target.parent.mkdir(parents=True)
    target.with_name("model.pdparams.part").write_bytes(BODY + b"x")
    target.with_name("model.pdparams.part.json").write_text(f"[null, {len(BODY)}]")
    assert get(server, tmp_path, SHA256).read_bytes() == BODY  # 416, then from the start


def test_connection_refused_says_where_the_file_belongs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: refused
        port = taken.getsockname()[1]
        url = f"http://127.0.0.1:{port}/a/b.tar.gz"
        with pytest.raises(WeightsError) as caught:
            fetch(url, tmp_path, backoff=100.0)  # a retry would be noticed
    message = str(caught.value)
    assert url in message
    assert "Connection refused" in message
    assert str(tmp_path / f"127.0.0.1_{port}" / "a" / "b.tar.gz") in message


def test_unknown_host_is_not_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(WeightsError, match=r"Name or service not known.*put the file at"):
        fetch("https://weights.invalid/x.pdparams", tmp_path, backoff=100.0)


def test_silent_server_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        with pytest.raises(WeightsError, match=r"timed out.*after 2 attempts"):
            fetch(url, tmp_path, retries=1, backoff=0.001, timeout=0.1)


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "http://", "file:///etc/passwd", "http://host:port/x", "http://[::1/x"]
)
def test_other_addresses_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not an http"):
        fetch(url, tmp_path)


@pytest.mark.parametrize("sha256", ["", "abc", "g" * 64])
def test_malformed_checksum(sha256: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="expected 64 hexadecimal digits"):
        fetch("http://host/x", tmp_path, sha256)


def test_cache_below_a_file(server: Server, tmp_path: Path) -> None:
    occupied = tmp_path / "cache"
    occupied.write_text("")
    with pytest.raises(WeightsError, match=r"cannot store .*cache"):
        get(server, occupied)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def open_full(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        return opened(Path("/dev/full") if mode == "ab" else path, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(WeightsError, match=os.strerror(errno.ENOSPC)):
        get(server, tmp_path)
    assert len(server.requests) == 1


# --- names in the cache ---


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://bj.bcebos.com/paddleseg/dygraph/x.tar.gz", "bj.bcebos.com/paddleseg/dygraph/x.tar.gz"),
        ("http://Host:8080/x", "host_8080/x"),
        ("http://host/../../etc/passwd", "host/%2E%2E/%2E%2E/etc/passwd"),
        ("http://host//a/./b", "host/a/%2E/b"),
        ("http://host/a%2Fb", "host/a%2Fb"),
        ("http://host", "host/index"),
        ("http://host/ä b", "host/%C3%A4%20b"),
    ],
)
def test_cached_path(url: str, expected: str, tmp_path: Path) -> None:
    assert cached_path(url, tmp_path) == tmp_path / expected


def test_queries_are_kept_apart(tmp_path: Path) -> None:
    paths = {cached_path(f"http://host/x.pdparams{query}", tmp_path) for query in ("", "?v=1", "?v=2")}
    assert len(paths) == 3
    assert {path.name for path in paths} == {"x.pdparams"}


def test_default_cache_is_in_the_home_folder() -> None:
    assert cached_path("http://host/x") == Path.home() / ".cache" / "paddleseg" / "host" / "x"


def test_works_where_files_cannot_be_locked(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "fcntl", None)
    assert get(server, tmp_path, SHA256).read_bytes() == BODY
