"""Parts of the service in this process: batches, headers that do not come, numbers on the command line."""

from __future__ import annotations

import argparse
import asyncio
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
from serving_process import encoded, picture, write_model

from deploy.python.description import read_description
from deploy.python.engines import make_engine
from deploy.python.exported_model import ExportedModel, Prepared
from deploy.serving import server as server_module
from deploy.serving.answers import ModelFacts
from deploy.serving.app import make_app
from deploy.serving.batching import Batcher
from deploy.serving.limits import Limits, RequestError, amount
from deploy.serving.server import Server, is_loopback, listen
from deploy.serving.service import Service
from deploy.serving.uploads import pixel_count
from paddleseg.errors import UsageError


def image(value: float, width: int = 2) -> Prepared:
    return Prepared(np.full((1, 1, 1, width), value, np.float32), [])


class FakeModel:
    """Answers an image with its own values; fails for negative ones."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.batches: list[list[tuple[float, int]]] = []
        self._seconds = seconds

    def __call__(self, images: Sequence[Prepared]) -> list[Any]:
        self.batches.append([(float(one.batch.flat[0]), one.batch.shape[3]) for one in images])
        time.sleep(self._seconds)
        if any(one.batch.flat[0] < 0 for one in images):
            raise ValueError("negative")
        return [one.batch for one in images]


async def answers_of(
    model: FakeModel, images: Sequence[Prepared], *, coming: int = 0, max_wait: float = 0.0
) -> tuple[list[Any], float]:
    """The outputs, or exceptions, of images that come together, and how many seconds it took."""
    start = time.perf_counter()
    with ThreadPoolExecutor(1) as thread:
        batcher = Batcher(
            model,
            thread=thread,
            max_batch=3,
            max_wait=max_wait,
            others_coming=lambda: coming,
            observe=lambda size: None,
        )
        running = asyncio.create_task(batcher.run())
        left: list[int] = []
        waiting = [batcher.labels_of(one, on_left=lambda: left.append(1)) for one in images]
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        await asyncio.sleep(0)
        running.cancel()
        assert len(batcher) == 0
        assert len(left) == len(images)
    return answers, time.perf_counter() - start


def test_batches_are_of_one_size_and_the_oldest_first() -> None:
    model = FakeModel()
    images = [image(0), image(1, 5), image(2), image(3), image(4), image(5, 5)]
    answers, _ = asyncio.run(answers_of(model, images))
    assert model.batches == [[(0, 2), (2, 2), (3, 2)], [(1, 5), (5, 5)], [(4, 2)]]
    assert [answer.flat[0] for answer in answers] == [0, 1, 2, 3, 4, 5]


def test_one_bad_image_does_not_fail_its_batch() -> None:
    answers, _ = asyncio.run(answers_of(FakeModel(), [image(1), image(-1), image(2)]))
    assert answers[0].flat[0] == 1
    assert isinstance(answers[1], ValueError)
    assert answers[2].flat[0] == 2


def test_images_that_nobody_waits_for() -> None:
    """One that is in the model leaves when the model is done, and is not tried again when its batch fails."""

    async def check() -> None:
        model, left = FakeModel(0.2), [0, 0, 0]
        with ThreadPoolExecutor(1) as thread:
            batcher = Batcher(
                model,
                thread=thread,
                max_batch=2,
                max_wait=0,
                others_coming=lambda: 0,
                observe=lambda size: None,
            )

            def waiting_for(number: int, value: float) -> asyncio.Task[Any]:
                def on_left() -> None:
                    left[number] += 1

                return asyncio.create_task(batcher.labels_of(image(value), on_left=on_left))

            tasks = [waiting_for(0, 1), waiting_for(1, -1), waiting_for(2, 2)]
            running = asyncio.create_task(batcher.run())
            await asyncio.sleep(0.1)
            assert model.batches == [[(1, 2), (-1, 2)]]
            tasks[0].cancel()
            tasks[2].cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert left == [0, 0, 1]
            with pytest.raises(ValueError, match="negative"):
                await tasks[1]
            await asyncio.sleep(0)
            running.cancel()
        assert left == [1, 1, 1]
        assert model.batches == [[(1, 2), (-1, 2)], [(-1, 2)]]

    asyncio.run(check())


@pytest.mark.parametrize(("coming", "least", "most"), [(0, 0.0, 0.2), (1, 0.4, 0.8)])
def test_waits_only_while_others_are_coming(coming: int, least: float, most: float) -> None:
    _, seconds = asyncio.run(answers_of(FakeModel(), [image(1)], coming=coming, max_wait=0.4))
    assert least <= seconds < most


def test_a_full_batch_does_not_wait() -> None:
    images = [image(1), image(2), image(3)]
    _, seconds = asyncio.run(answers_of(FakeModel(), images, coming=1, max_wait=5))
    assert seconds < 1


@pytest.mark.parametrize(
    ("text", "value"), [("20MB", 20_000_000), ("33M", 33_000_000), ("1.5k", 1500), ("7", 7)]
)
def test_amount(text: str, value: int) -> None:
    assert amount(text) == value


@pytest.mark.parametrize("text", ["", "0", "MB", "-1", "1T", "1e3", "٣"])
def test_no_amount(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="20MB"):
        amount(text)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_pixel_count_needs_the_header_only(form: str) -> None:
    data = encoded(picture(0, height=300, width=400), form)
    assert pixel_count(data, max_pixels=120_000) == 120_000
    with pytest.raises(RequestError, match="400×300 pixels; at most 119999"):
        pixel_count(data, max_pixels=119_999)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    config = write_model(tmp_path_factory.mktemp("parts") / "strongest")
    description = read_description(config)

    def load() -> ExportedModel:
        return ExportedModel(description, make_engine(description, engine="onnxruntime", threads=1))

    limits = Limits(queue=3, max_pixels=5000)
    return Service(load, ModelFacts.of("strongest", None, None), limits=limits)


def test_connections_that_say_nothing_are_closed(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_HEADER_SECONDS", 0.4)
    listener = listen("127.0.0.1", 0)
    assert is_loopback(listener)
    port = listener.getsockname()[1]
    server = Server(make_app(service, on_loaded=lambda failure: None), service)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        for before, start_of_next in ((b"", b""), (b"", b"GET /health HT"), (request, b"GET /heal")):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                received = b""
                client.sendall(before)
                while before and not received.endswith(b'"}'):
                    received += client.recv(4096)
                start = time.monotonic()
                client.sendall(start_of_next)
                assert client.recv(4096) == b""
                assert 0.3 < time.monotonic() - start < 3
        while httpx.get(f"http://127.0.0.1:{port}/ready").status_code != 200:
            time.sleep(0.05)
        check_budgets(service)
    finally:
        server.should_exit = True
        thread.join()


def check_budgets(service: Service) -> None:
    """A service that is ready takes 3 requests of twice 5000 pixels in all."""
    with service.admit() as first, service.admit() as second, service.admit() as third:
        with (
            pytest.raises(RequestError, match="3 requests are under way already") as refused,
            service.admit(),
        ):
            pass
        assert refused.value.status == 429
        assert refused.value.headers == {"Retry-After": "1"}
        first.pixels = second.pixels = 4000
        data = encoded(picture(0, height=50, width=50))
        prediction = service.predict(data, third, output="label", with_overlay=False)
        with pytest.raises(RequestError, match="large images take all the memory"):
            asyncio.run(asyncio.wait_for(prediction, 5))
    assert service.in_flight == 0


def test_an_address_of_another_machine() -> None:
    with pytest.raises(UsageError, match=r"--host 192\.0\.2\.1 --port 0: cannot listen there"):
        listen("192.0.2.1", 0)
    assert not is_loopback(listen("0.0.0.0", 0))


def test_facts_of_a_model_without_names() -> None:
    facts = ModelFacts.of("m", ["road"], None)
    assert facts.class_of(0) == {"id": 0, "name": "road", "color": "#800000"}
    assert facts.class_of(300) == {"id": 300, "name": "300", "color": "#000000"}
