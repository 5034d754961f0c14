r"""Speed and accuracy of a quantised model against the float one, as a Markdown table.

    python export.py --config configs/ccnet/ccnet_resnet18_os8_camvid_240x180.yml --format onnx \
        --model_path output/camvid/best_model/model.pdparams --output_op none --save_dir output/camvid/export
    python slim/quant/ptq.py --config output/camvid/export/deploy.yaml --calibration data/camvid/train.txt
    python benchmark/int8.py --config output/camvid/export/deploy.yaml --val_list data/camvid/val.txt \
        --size 512 1024

Both models take turns on every picture, so that whatever else the machine does slows both; times are of the
network alone and medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from deploy.python.description import DeployDescription, read_description
from deploy.python.engines import make_engine
from deploy.python.engines.base import Engine
from deploy.python.exported_model import ExportedModel
from slim.quant.comparison import compare, labelled_pictures

PRECISIONS = ("fp32", "int8")
ENGINES = ("onnxruntime", "openvino")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="deploy.yaml with onnx and int8")
    parser.add_argument("--val_list", help="list of 'image label' lines, for the mIoU")
    parser.add_argument("--size", nargs=2, type=int, metavar=("H", "W"), help="also time noise of this size")
    parser.add_argument("--repeats", type=int, default=5, help="runs over the noise")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    description = read_description(args.config)
    print("| Engine | Input | fp32, s | int8, s | fp32 / int8 | Equal labels | mIoU fp32 | mIoU int8 |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for name in ENGINES:
        engines = [
            make_engine(description, engine=name, threads=args.threads, precision=precision)
            for precision in PRECISIONS
        ]
        if args.val_list:
            print(f"| {name} | {accuracy(description, engines, args.val_list)} |", flush=True)
        if args.size:
            print(f"| {name} | {speed(description, engines, args.size, args.repeats)} | | | |", flush=True)


def accuracy(description: DeployDescription, engines: list[Engine], val_list: str) -> str:
    """Cells of a row: both models over labelled pictures."""
    classes = description.num_classes
    if classes is None:
        sys.exit(f"{description.path}: num_classes is missing; export the model again")
    fp32, int8 = (ExportedModel(description, engine) for engine in engines)
    channels = fp32.img_channels
    pictures = labelled_pictures(val_list, num_classes=classes, channels=channels, ignore_index=255)
    found = compare((fp32, int8), pictures, num_classes=classes)
    assert found.miou is not None
    before, after = found.miou
    figures = f"{found.speed:.2f} | {found.equal_labels:.2%} | {before:.4f} | {after:.4f}"
    return f"{found.pictures} pictures | | | {figures}"


def speed(description: DeployDescription, engines: list[Engine], size: list[int], repeats: int) -> str:
    """Cells of a row: both models in turn on noise."""
    shape = (1, description.input_shape[1], *size)
    noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    for engine in engines:
        engine.run(noise)
    seconds: list[list[float]] = [[], []]
    for _ in range(repeats):
        for engine, times in zip(engines, seconds, strict=True):
            start = time.perf_counter()
            engine.run(noise)
            times.append(time.perf_counter() - start)
    fp32, int8 = (statistics.median(times) for times in seconds)
    return f"{size[0]}×{size[1]}, {repeats} runs | {fp32:.3f} | {int8:.3f} | {fp32 / int8:.2f}"


if __name__ == "__main__":
    main()
