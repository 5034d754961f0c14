"""Too little memory: an answer for now, never a fault of the server nor another image's class ids."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from serving_process import ROOT, encoded, picture, write_model

from deploy.python.exported_model import Prepared
from deploy.serving.answers import ModelFacts
from deploy.serving.app import make_app
from deploy.serving.limits import Limits, RequestError, lack_of_memory
from deploy.serving.server import Server, listen
from deploy.serving.service import Service
from deploy.serving.uploads import decode
from paddleseg.data.transforms import Sample
from paddleseg.errors import DataError

# Batches of one 32×32 image, then of one whose first convolution needs 288 MB, which it may not have.
ENGINE_WITHOUT_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from deploy.python.description import read_description
from deploy.python.engines import make_engine

engine = make_engine(read_description(Path(sys.argv[1])), engine=sys.argv[2], device="cpu", threads=1)
small, large = (np.zeros((1, 3, side, side), np.float32) for side in (32, 1500))
engine.run(small)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
small[:, 2] = large[:, 1] = 1
resource.setrlimit(resource.RLIMIT_AS, (used + 30_000_000, resource.RLIM_INFINITY))
for image, label in ((large, 1), (small, 2)):
    try:
        print((engine.run(image) == label).all(), flush=True)
    except MemoryError:
        print("MemoryError", flush=True)
"""


@pytest.mark.distributed
@pytest.mark.parametrize(
    ("engine", "afterwards"), [("onnxruntime", ["True"]), ("openvino", ["True", "MemoryError"])]
)
def test_engines_say_so(tmp_path: Path, engine: str, afterwards: list[str]) -> None:
    config = write_model(tmp_path / "m", convolutions=2)
    command = [sys.executable, "-c", ENGINE_WITHOUT_MEMORY, str(config), engine]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    first, second = ended.stdout.splitlines()
    assert first == "MemoryError", ended.stderr
    assert second in afterwards, ended.stderr


class Model:
    """The class id is the value in the first channel; an error on the way, where there is one."""

    img_channels = 3
    description = SimpleNamespace(input_shape=(-1, 3, -1, -1))
    engine = SimpleNamespace(name="fake")

    def __init__(self) -> None:
        self.errors: dict[str, Exception] = {}
        self.threads: set[str] = set()

    def labels_of(self, images: Sequence[Sample]) -> None:
        pass

    def label_of(self, image: Sample) -> None:
        pass

    def prepare(self, image: Sample) -> Prepared:
        self._fail("prepare")
        return Prepared(image.image.transpose(2, 0, 1)[None], [])

    def run(self, images: Sequence[Prepared]) -> list[Any]:
        self._fail("run")
        self.threads.add(threading.current_thread().name)
        return [one.batch for one in images]

    def finish(self, output: Any, prepared: Prepared) -> Any:
        self._fail("finish")
        self.threads.add(threading.current_thread().name)
        return output[0, 0].astype(np.uint8)

    def _fail(self, where: str) -> None:
        if where in self.errors:
            raise self.errors[where]


def no_memory() -> cv2.error:
    """OpenCV's own error for a matrix that is too large for any machine."""
    with pytest.raises(cv2.error, match="Failed to allocate") as caught:
        cv2.resize(np.zeros((1, 1, 3), np.float64), (2**30, 2**20))
    return caught.value


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


@pytest.fixture(scope="module")
def client(model: Model) -> Iterator[httpx.Client]:
    service = Service(lambda: model, ModelFacts.of("m", None, None), limits=Limits())  # type: ignore[arg-type,return-value]
    listener = listen("127.0.0.1", 0)
    server = Server(make_app(service, on_loaded=lambda failure: None), service)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=20) as client:
        while client.get("/ready").status_code != 200:
            time.sleep(0.02)
        yield client
    server.should_exit = True
    thread.join()


def post(client: httpx.Client) -> Any:
    return client.post("/predict", content=encoded(picture(0)), headers={"Content-Type": "image/png"})


@pytest.mark.parametrize("where", ["prepare", "run", "finish"])
@pytest.mark.parametrize("kind", ["python", "opencv"])
def test_a_request_without_memory(
    client: httpx.Client, model: Model, monkeypatch: pytest.MonkeyPatch, where: str, kind: str
) -> None:
    error = MemoryError() if kind == "python" else no_memory()
    monkeypatch.setattr(model, "errors", {where: error})
    answer = post(client)
    assert answer.status_code == 503
    assert answer.json() == {"error": "no memory for this image now; try again"}
    assert answer.headers["Retry-After"] == "5"
    monkeypatch.setattr(model, "errors", {})
    assert post(client).status_code == 200


def test_scores_live_in_the_thread_of_the_model(client: httpx.Client, model: Model) -> None:
    model.threads.clear()
    assert post(client).status_code == 200
    assert model.threads == {"model_0"}


def test_a_fault_has_the_headers_of_every_answer(
    client: httpx.Client, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "errors", {"run": ZeroDivisionError()})
    answer = post(client)
    assert answer.status_code == 500
    assert answer.json() == {"error": "internal error; the service's log has the details"}
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_decoding_without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    error = no_memory()

    def imdecode(*_: Any) -> None:
        raise error

    monkeypatch.setattr(cv2, "imdecode", imdecode)
    with pytest.raises(RequestError, match="no memory") as refused:
        decode(encoded(picture(0)), channels=3, pixels=48 * 64)
    assert refused.value.status == 503


def test_other_errors_pass() -> None:
    with pytest.raises(DataError, match="damaged"), lack_of_memory():
        raise DataError("damaged")
    with pytest.raises(cv2.error), lack_of_memory():
        cv2.resize(np.zeros((1, 1)), (0, 0))
