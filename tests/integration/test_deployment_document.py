"""docs/deployment.md: its commands run as written, on demo pictures and with a smaller network."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from documents import ROOT, check_predictions, check_same_labels, commands, run

from paddleseg.build import build_model, load_config
from paddleseg.models.weight_files import save_weights

DOCUMENT = (ROOT / "docs" / "deployment.md").read_text("utf-8")
NOT_RUN = {
    "pip install -e '.[cpu,deploy,slim,serving]'": "tests/test_packaging.py looks at the extras",
    "bash test_tipc/prepare.sh": "tests/test_tipc/test_tipc_chain.py runs the chain",
    "bash test_tipc/test_train_inference_python.sh": "tests/test_tipc/test_tipc_chain.py runs the chain",
}
CONFIG = "configs/ccnet/ccnet_resnet101_os8_cityscapes_769x769_60k.yml"
# The weights are a ResNet18's, and pictures of 512×256 are not padded to 2049×1025: 30 times less work.
SMALLER = ["model.backbone.type=ResNet18_vd", "model.backbone.pretrained=null"]
NOT_PADDED = "val_dataset.transforms=[{type: Normalize}]"
START_LIMIT_S = 120


def commands_to_run() -> list[str]:
    return [one for one in commands(DOCUMENT) if not one.startswith(tuple(NOT_RUN))]


def prepare(folder: Path) -> None:
    """What the document takes for granted: weights, Cityscapes, a film, a picture."""
    run("python tools/make_demo_dataset.py --output data/cityscapes --train 2 --val 1 --size 512 256", folder)
    weights = folder / "output" / "ccnet" / "best_model" / "model.pdparams"
    weights.parent.mkdir(parents=True)
    save_weights(build_model(load_config(folder / CONFIG, SMALLER)).state_dict(), weights)
    (picture,) = (folder / "data/cityscapes/leftImg8bit/val").rglob("*.png")
    shutil.copy(picture, folder / "street.png")
    film = cv2.VideoWriter(str(folder / "drive.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 5, (128, 64))
    for shade in (0, 80, 160):
        film.write(np.full((64, 128, 3), shade, np.uint8))
    film.release()


@contextmanager
def serving(command: str, folder: Path, port: int) -> Iterator[None]:
    """Runs the service until it has to go, and sees that it goes cleanly."""
    words = [sys.executable, *shlex.split(command)[1:]]
    with subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + START_LIMIT_S
            while not is_ready(port):
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            _, messages = process.communicate(timeout=60)
    assert process.returncode == 0, messages


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_every_command_is_run_or_named_with_its_reason() -> None:
    assert [
        one for one in NOT_RUN if not any(command.startswith(one) for command in commands(DOCUMENT))
    ] == []
    programs = [re.sub(r"^python (-m )?", "", one).split()[0] for one in commands_to_run()]
    assert programs == [
        "export.py",
        "deploy/python/infer.py",
        "deploy/python/infer.py",
        "slim/quant/ptq.py",
        "deploy/python/infer.py",
        "cmake",
        "build/cpp/segment",
        "deploy.serving",
        "curl",
    ]


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", DOCUMENT)
    assert targets
    assert [one for one in targets if "://" not in one and not (ROOT / "docs" / one).is_file()] == []


@pytest.mark.slow
def test_from_weights_to_predictions(checkout: Path) -> None:
    missing = [name for name in ("cmake", "curl") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed: bash scripts/system_packages.sh")
    prepare(checkout)
    export, infer, film, quantise, infer_int8, build, segment, serve, upload = commands_to_run()
    printed = run(export, checkout, "--device", "cpu", "--opts", *SMALLER, NOT_PADDED)
    assert len(re.findall(r"\[CHECK\] (paddle|legacy|onnx), .* equal labels 100\.0000%", printed)) >= 9
    assert "inference_time(ms)" in run(infer, checkout)
    run(film, checkout)
    assert cv2.VideoCapture(str(checkout / "output/ccnet/film/drive.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert "mIoU" not in run(quantise, checkout)  # there are no labels to measure with
    run(infer_int8, checkout)
    run(build, checkout)
    run(segment, checkout)
    output = checkout / "output" / "ccnet"
    for name in ("deployed", "deployed_int8", "deployed_cpp"):
        check_predictions(output / name, count=1, shape=(256, 512), classes=19)
    check_same_labels(output / "deployed", output / "deployed_cpp", share=0.9999)
    port = free_port()
    with serving(serve.replace("8000", str(port)), checkout, port):
        run(upload.replace("8000", str(port)), checkout)
    (expected,) = (output / "deployed" / "label").rglob("*.png")
    labels = [cv2.imread(str(one), cv2.IMREAD_UNCHANGED) for one in (expected, checkout / "label.png")]
    assert np.mean(labels[0] == labels[1]) > 0.9999
