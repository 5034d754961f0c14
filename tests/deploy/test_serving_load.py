"""Many requests at once, more than allowed, clients that leave, and the end."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from serving_process import ServingProcess, decoded, encoded, picture, strongest, write_model

pytestmark = [pytest.mark.distributed, pytest.mark.slow]
PNG = {"Content-Type": "image/png"}
CLIENTS, REQUESTS = 16, 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("load")
    write_model(folder / "quick")
    write_model(folder / "slow", convolutions=2)
    return folder


@pytest.fixture
def slow(folder: Path, tmp_path: Path) -> Iterator[ServingProcess]:
    """One image of 512×512 takes its model about half a second."""
    flags = ["--queue", "4", "--max_batch", "1", "--cpu_threads", "1"]
    with ServingProcess(folder / "slow", tmp_path / "log.txt", *flags) as running:
        yield running


LARGE = encoded(picture(0, height=512, width=512), compress_level=0)


def post(service: ServingProcess, data: bytes) -> httpx.Response:
    return httpx.post(f"{service.url}/predict?output=label", content=data, headers=PNG, timeout=60)


@pytest.mark.parametrize(("queue", "statuses"), [(16, {200}), (3, {200, 429})])
def test_no_request_is_lost(folder: Path, tmp_path: Path, queue: int, statuses: set[int]) -> None:
    images = [picture(n, height=40 + n % 3, width=56) for n in range(REQUESTS)]
    files = [encoded(image) for image in images]
    barrier = threading.Barrier(CLIENTS)

    def ask(first: int) -> list[tuple[int, httpx.Response]]:
        with httpx.Client(timeout=60) as client:
            barrier.wait()
            return [
                (n, client.post(f"{running.url}/predict?output=label", content=files[n], headers=PNG))
                for n in range(first, REQUESTS, CLIENTS)
            ]

    with ServingProcess(folder / "quick", tmp_path / "log.txt", "--queue", str(queue)) as running:
        with ThreadPoolExecutor(CLIENTS) as pool:
            answers = [one for answers in pool.map(ask, range(CLIENTS)) for one in answers]
        assert sorted(n for n, _ in answers) == list(range(REQUESTS))
        counts = Counter(answer.status_code for _, answer in answers)
        assert set(counts) == statuses
        for n, answer in answers:
            if answer.status_code == 200:
                np.testing.assert_array_equal(decoded(answer.content), strongest(images[n]))
            else:
                assert answer.headers["Retry-After"] == "1"
        for status, count in counts.items():
            assert running.metric("paddleseg_requests_total", path="/predict", status=str(status)) == count
        batched = running.metric("paddleseg_batch_size_sum")
        assert batched == counts[200]
        if queue == CLIENTS:  # images of equal size share batches
            assert running.metric("paddleseg_batch_size_count") < 0.75 * batched
        assert running.metric("paddleseg_in_flight") == running.metric("paddleseg_queue_length") == 0


def test_overload_is_answered_at_once(slow: ServingProcess) -> None:
    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(post, slow, LARGE) for _ in range(4)]
        slow.wait_for_metric("paddleseg_in_flight", 4)
        start = time.monotonic()
        answer = post(slow, LARGE)
        elapsed = time.monotonic() - start
        assert answer.status_code == 429
        assert answer.json()["error"].startswith("4 requests are under way already")
        assert httpx.get(f"{slow.url}/health").status_code == 200
        assert not all(one.done() for one in working)
        assert elapsed < 0.5
        assert [one.result().status_code for one in working] == [200] * 4


def test_who_leaves_is_not_worked_for(slow: ServingProcess) -> None:
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(LARGE)}\r\n\r\n"
    clients = [socket.create_connection(("127.0.0.1", slow.port)) for _ in range(4)]
    before = slow.metric("paddleseg_batch_size_sum")
    for client in clients:
        client.sendall(head.encode() + LARGE)
    slow.wait_for_metric("paddleseg_queue_length", 3)
    for client in clients:
        client.close()
    slow.wait_for_metric("paddleseg_in_flight", 0)
    image = picture(1)
    answer = post(slow, encoded(image))
    np.testing.assert_array_equal(decoded(answer.content), strongest(image))
    # One was in the model when its client left; this one makes two.
    assert slow.metric("paddleseg_batch_size_sum") - before == 2


def test_time_is_limited(folder: Path, tmp_path: Path) -> None:
    flags = ["--timeout", "1", "--max_batch", "1", "--cpu_threads", "1"]
    with ServingProcess(folder / "slow", tmp_path / "log.txt", *flags) as running:
        with ThreadPoolExecutor(4) as pool:
            answers = [one.result() for one in [pool.submit(post, running, LARGE) for _ in range(4)]]
        late = [answer for answer in answers if answer.status_code == 503]
        assert late
        assert "no answer within 1 s" in late[0].json()["error"]
        running.wait_for_metric("paddleseg_in_flight", 0)


def test_a_busy_model(folder: Path, tmp_path: Path) -> None:
    """Work that nobody waits for any more counts until it has ended; a second signal does not wait for it."""
    large = encoded(picture(0, height=2048, width=2048), compress_level=0)  # some 8 s
    flags = ["--timeout", "1", "--queue", "1", "--cpu_threads", "1"]
    with ServingProcess(folder / "slow", tmp_path / "log.txt", *flags) as running:
        assert post(running, large).status_code == 503
        refused = post(running, encoded(picture(1)))
        assert refused.status_code == 429
        assert refused.json()["error"].startswith("1 requests are under way already")
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert running.process.poll() is None
        assert running.stop(seconds=1) == 128 + signal.SIGTERM


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_every_engine_answers_several_at_once(folder: Path, tmp_path: Path, engine: str) -> None:
    images = [picture(n, height=40 + n % 3, width=56) for n in range(12)]
    with ServingProcess(folder / "quick", tmp_path / "log.txt", engine=engine) as running:
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda image: post(running, encoded(image)), images))
        assert f"on {engine}" in running.log
    for image, answer in zip(images, answers, strict=True):
        np.testing.assert_array_equal(decoded(answer.content), strongest(image))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_loses_no_answer(slow: ServingProcess, number: signal.Signals) -> None:
    image = picture(0, height=512, width=512)
    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(post, slow, LARGE) for _ in range(3)]
        slow.wait_for_metric("paddleseg_in_flight", 3)
        slow.process.send_signal(number)
        late: list[int] = []
        while not late or late[-1] != 503:
            late.append(httpx.get(f"{slow.url}/ready").status_code)
        refused = post(slow, LARGE)
        assert refused.status_code == 503
        assert "shutting down" in refused.json()["error"]
        for one in working:
            answer = one.result()
            assert answer.status_code == 200
            np.testing.assert_array_equal(decoded(answer.content), strongest(image))
    assert slow.process.wait(20) == 0
    assert "Traceback" not in slow.log
    assert slow.log.splitlines()[-1].endswith("stopped")


def test_the_end_under_load(folder: Path, tmp_path: Path) -> None:
    data, outcomes = encoded(picture(3)), Counter[str]()
    with ServingProcess(folder / "quick", tmp_path / "log.txt") as running:

        def ask() -> None:
            with httpx.Client(timeout=20) as client:
                for _ in range(4000):
                    try:
                        answer = client.post(f"{running.url}/predict", content=data, headers=PNG)
                        outcomes[str(answer.status_code)] += 1
                    except httpx.ConnectError:
                        return
                    except httpx.TransportError as error:
                        outcomes[type(error).__name__] += 1

        with ThreadPoolExecutor(8) as pool:
            threads = [pool.submit(ask) for _ in range(8)]
            while outcomes["200"] < 20:
                time.sleep(0.02)
            status = running.stop()
            for thread in threads:
                thread.result()
        assert status == 0
        assert "Traceback" not in running.log
    # Connections that were idle when the server closed are the clients' to open again.
    assert set(outcomes) <= {"200", "503", "ReadError", "RemoteProtocolError"}
    assert outcomes["ReadError"] + outcomes["RemoteProtocolError"] <= 2 * 8


def test_a_second_signal_does_not_wait(slow: ServingProcess) -> None:
    client = socket.create_connection(("127.0.0.1", slow.port))
    with contextlib.closing(client):
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n12345")
        slow.wait_for_metric("paddleseg_in_flight", 1)
        slow.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert slow.process.poll() is None
        assert slow.stop(seconds=10) == 128 + signal.SIGTERM
