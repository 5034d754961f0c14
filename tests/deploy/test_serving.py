"""The service's answers, against class ids worked out by hand and those of prediction from files."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.openapi.models import OpenAPI
from PIL import Image
from serving_process import (
    CLASS_NAMES,
    PALETTE,
    ROOT,
    ServingProcess,
    as_read,
    decoded,
    encoded,
    picture,
    strongest,
    write_model,
)

from deploy.python.description import read_description
from deploy.python.engines import make_engine
from deploy.python.exported_model import ExportedModel
from paddleseg.data.transforms import Sample

pytestmark = pytest.mark.distributed
PNG = {"Content-Type": "image/png"}
MAX_BYTES, MAX_PIXELS = 100_000, 40_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[ServingProcess]:
    flags = ["--max_bytes", "100KB", "--max_pixels", "40K", "--timeout", "2"]
    with ServingProcess(write_model(folder / "strongest"), folder / "log.txt", *flags) as running:
        yield running
        assert "Traceback" not in running.log


def image_files() -> dict[str, bytes]:
    """An image of each kind that people have."""
    rgb = picture(1)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    alpha = np.dstack([rgb, np.full(rgb.shape[:2], 77, np.uint8)])
    deep = picture(2)[..., 0].astype(np.uint16) * 257
    return {
        "png": encoded(rgb),
        "grey": encoded(rgb[..., 0]),
        "alpha": encoded(alpha),
        "palette": encoded(Image.fromarray(rgb).quantize(16)),
        "16 bits": encoded(deep),
        "jpeg": encoded(rgb, "JPEG", quality=95),
        "turned jpeg": encoded(rgb, "JPEG", exif=exif),
        "bmp": encoded(rgb, "BMP"),
        "tiff": encoded(rgb, "TIFF"),
        "webp": encoded(rgb, "WEBP"),
    }


@pytest.mark.parametrize("kind", image_files())
def test_label_is_that_of_the_file(service: ServingProcess, kind: str, tmp_path: Path) -> None:
    data = image_files()[kind]
    raw = httpx.post(f"{service.url}/predict?output=label", content=data, headers=PNG)
    form = httpx.post(f"{service.url}/predict?output=label", files={"file": ("ü.png", data)})
    assert raw.status_code == form.status_code == 200
    assert raw.headers["content-type"] == "image/png"
    label = decoded(raw.content)
    np.testing.assert_array_equal(label, strongest(as_read(data, tmp_path)))
    np.testing.assert_array_equal(label, decoded(form.content))
    assert label.shape == ((64, 48) if kind == "turned jpeg" else (48, 64))


def test_overlay(service: ServingProcess) -> None:
    image = picture(3)
    answer = httpx.post(f"{service.url}/predict?output=overlay", content=encoded(image), headers=PNG)
    expected = 0.6 * image + 0.4 * np.array(PALETTE)[strongest(image)]
    assert np.abs(decoded(answer.content) - expected).max() <= 0.5001  # rounded to whole numbers


def test_json(service: ServingProcess) -> None:
    image = np.zeros((10, 20, 3), np.uint8)
    image[:, :5, 2] = 9  # a quarter is blue; black goes to the first class
    answer = httpx.post(
        f"{service.url}/predict?output=json&overlay=true", content=encoded(image), headers=PNG
    )
    result = answer.json()
    assert {key: result[key] for key in ("width", "height", "model")} == {
        "width": 20,
        "height": 10,
        "model": "strongest",
    }
    assert result["classes"] == [
        {"id": 0, "name": CLASS_NAMES[0], "color": "#ff0000", "pixels": 150, "share": 0.75},
        {"id": 2, "name": CLASS_NAMES[2], "color": "#0000c8", "pixels": 50, "share": 0.25},
    ]
    assert 0 < result["time_ms"] < 2000
    assert result["overlay"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("image/png", "image/png"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("image/png;q=0", "application/json"),
        ("image/png; q=0.000, */*", "application/json"),
        ("text/html;q=0, image/png;q=0.5", "image/png"),
        ("application/json;q=0, image/png", "image/png"),
    ],
)
def test_accept_chooses_the_output(service: ServingProcess, accept: str, kind: str) -> None:
    headers = {**PNG, "Accept": accept}
    answer = httpx.post(f"{service.url}/predict", content=encoded(picture(0)), headers=headers)
    assert answer.headers["content-type"] == kind


def test_labels_are_those_of_the_python_runner(folder: Path) -> None:
    resize = {"type": "Resize", "target_size": [40, 30]}
    config = write_model(folder / "resized", transforms=[resize])
    description = read_description(config)
    model = ExportedModel(description, make_engine(description, engine="onnxruntime", threads=1))
    with ServingProcess(config, folder / "resized.txt") as running:
        for seed, (height, width) in enumerate([(48, 64), (31, 17), (90, 120)]):
            image = picture(seed, height=height, width=width)
            answer = httpx.post(f"{running.url}/predict?output=label", content=encoded(image), headers=PNG)
            expected = model.label_of(Sample(image.astype(np.float32)))
            assert expected.shape == (height, width)
            np.testing.assert_array_equal(decoded(answer.content), expected)


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"0")
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, body)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


REFUSED: dict[str, tuple[int, dict[str, Any], str]] = {
    "no body": (400, {"content": b"", "headers": PNG}, "0 bytes"),
    "text": (415, {"content": b"hello", "headers": PNG}, "not a PNG"),
    "json": (415, {"json": {"a": 1}}, "Content-Type is 'application/json'"),
    "cut short": (400, {"content": encoded(picture(0))[:900], "headers": PNG}, "damaged"),
    "header cut short": (400, {"content": encoded(picture(0))[:20], "headers": PNG}, "header"),
    "gif": (415, {"content": encoded(picture(0), "GIF"), "headers": PNG}, "not a PNG"),
    "a form of fields": (400, {"files": {"a": (None, b"b")}}, "no file"),
    "two files": (400, {"files": [("a", b"b"), ("c", b"d")]}, "Too many files"),
    "not a form": (
        400,
        {"content": b"nonsense", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        "multipart",
    ),
    "no boundary": (
        400,
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
        "boundary",
    ),
    "too many bytes": (413, {"content": bytes(MAX_BYTES + 1), "headers": PNG}, "larger than 100000 bytes"),
    "too many bytes in a form": (413, {"files": {"a": bytes(MAX_BYTES + 1)}}, "larger than 100000 bytes"),
    "more bytes in pieces": (
        413,
        {"content": (bytes(9999) for _ in range(12)), "headers": PNG},
        "larger than 100000 bytes",
    ),
    "too many pixels": (
        413,
        {"content": png_header(201, 200), "headers": PNG},
        "201×200 pixels; at most 40000",
    ),
    "a bomb": (413, {"content": png_header(60_000, 60_000), "headers": PNG}, "60000×60000"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_requests_get_one_message(service: ServingProcess, kind: str) -> None:
    status, request, words = REFUSED[kind]
    answer = httpx.post(f"{service.url}/predict", **request)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]


def test_largest_accepted(service: ServingProcess) -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    assert httpx.post(f"{service.url}/predict", content=encoded(image), headers=PNG).status_code == 200


def test_unknown_output_and_addresses(service: ServingProcess) -> None:
    wrong = httpx.post(f"{service.url}/predict?output=pdf", content=encoded(picture(0)), headers=PNG)
    assert wrong.status_code == 422
    assert "'label', 'overlay' or 'json'" in wrong.json()["error"]
    assert httpx.get(f"{service.url}/none").json() == {"error": "Not Found"}
    assert httpx.get(f"{service.url}/predict").status_code == 405
    assert httpx.get(f"{service.url}/static/../app.py").status_code == 404
    assert httpx.get(f"{service.url}/static/%2e%2e/app.py").status_code == 404


def test_state_metrics_and_interface(service: ServingProcess) -> None:
    httpx.post(f"{service.url}/predict", content=encoded(picture(0)), headers=PNG)
    assert httpx.get(f"{service.url}/health").json() == {"status": "alive"}
    assert httpx.get(f"{service.url}/ready").json() == {"status": "ready"}
    before = service.metric("paddleseg_requests_total", path="/predict", status="200")
    batches = service.metric("paddleseg_batch_size_count")
    httpx.post(f"{service.url}/predict", content=encoded(picture(0)), headers=PNG)
    assert service.metric("paddleseg_requests_total", path="/predict", status="200") == before + 1
    assert service.metric("paddleseg_request_seconds_count", path="/predict") > before
    assert service.metric("paddleseg_batch_size_count") == batches + 1
    assert service.metric("paddleseg_in_flight") == service.metric("paddleseg_queue_length") == 0
    description = httpx.get(f"{service.url}/openapi.json").json()
    assert OpenAPI.model_validate(description).paths is not None
    assert set(description["paths"]) == {"/predict", "/health", "/ready", "/metrics"}
    responses = description["paths"]["/predict"]["post"]["responses"]
    assert {"200", "400", "403", "408", "413", "415", "422", "429", "503"} == set(responses)


def test_headers_let_no_other_site_in(service: ServingProcess) -> None:
    for path in ("/", "/docs", "/static/page.js", "/health", "/none"):
        headers = httpx.get(f"{service.url}{path}", headers={"Origin": "http://example.org"}).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert not [name for name in headers if name.startswith("access-control")]
        assert "server" not in headers


@pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-origin", 200), ("none", 200)])
def test_pages_of_other_sites_get_no_prediction(service: ServingProcess, site: str, status: int) -> None:
    headers = {**PNG, "Sec-Fetch-Site": site}
    answer = httpx.post(f"{service.url}/predict", content=encoded(picture(0)), headers=headers)
    assert answer.status_code == status
    assert status == 200 or answer.json() == {
        "error": "a page of another site sent this; only the service's own page may"
    }


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_state_without_a_body(service: ServingProcess, path: str) -> None:
    answer = httpx.head(f"{service.url}{path}")
    assert answer.status_code == 200
    assert answer.content == b""


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"Content-Length: 99\r\n\r\n12345", 408, "the upload took too long"),
        # Too large, and not at its end: what came is enough to refuse it.
        (b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n" + bytes(150_000), 413, "the upload is larger than"),
        (
            b"Content-Type: multipart/form-data; boundary=x\r\n"
            b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n--x\r\n"
            b'Content-Disposition: form-data; name="a"; filename="b"\r\n\r\n' + bytes(200_000),
            413,
            "the upload is larger than",
        ),
    ],
)
def test_an_upload_that_does_not_end(service: ServingProcess, body: bytes, status: int, words: str) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n" + body)
        answer = b""
        while b"}" not in answer:
            answer += client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"].startswith(words)
    assert service.metric("paddleseg_in_flight") == 0


def test_needs_no_paddle(service: ServingProcess) -> None:
    maps = Path(f"/proc/{service.process.pid}/maps").read_text(encoding="utf-8")
    assert "onnxruntime" in maps
    assert "paddle/" not in maps


def start(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.serving", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_a_port_in_use(service: ServingProcess, folder: Path) -> None:
    ended = start("--config", str(folder / "strongest"), "--port", str(service.port))
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"error: --host 127.0.0.1 --port {service.port}: cannot listen there")
    assert ended.stderr.count("\n") == 1


def test_a_damaged_model(folder: Path) -> None:
    config = write_model(folder / "damaged")
    (folder / "damaged/model.onnx").write_bytes(b"no model")
    ended = start("--config", str(config), "--port", "0", "--engine", "onnxruntime")
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"error: {config}: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--config", "none.yaml"], "none.yaml"),
        (["--config", "x", "--max_bytes", "lots"], "500K, 20MB"),
        (["--config", "x", "--port", "70000"], "0..65535"),
        (["--config", "x", "--max_batches", "2"], "did you mean '--max_batch'?"),
    ],
)
def test_bad_flags(flags: list[str], words: str) -> None:
    ended = start(*flags)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1
