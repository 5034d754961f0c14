r"""Speed and accuracy of int8 and bf16 against fp32, as a Markdown table.

    python export.py --config configs/ccnet/ccnet_resnet18_os8_camvid_240x180.yml --format onnx \
        --model_path output/camvid/best_model/model.pdparams --output_op none --save_dir output/camvid/export
    python slim/quant/ptq.py --config output/camvid/export/deploy.yaml --calibration data/camvid/train.txt
    python benchmark/int8.py --config output/camvid/export/deploy.yaml --val_list data/camvid/val.txt \
        --size 512 1024

Both precisions take turns on every picture, so that whatever else the machine does slows both; times are of
the network alone and medians. bf16 has a row where the processor has its instructions.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from deploy.python.description import DeployDescription, read_description
from deploy.python.engines import make_engine
from deploy.python.engines.base import Engine
from deploy.python.exported_model import ExportedModel
from paddleseg.errors import DeviceError
from slim.quant.comparison import compare, labelled_pictures

CASES = (("onnxruntime", "int8"), ("openvino", "int8"), ("openvino", "bf16"))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="deploy.yaml with onnx and int8")
    parser.add_argument("--val_list", help="list of 'image label' lines, for the mIoU")
    parser.add_argument("--size", nargs=2, type=int, metavar=("H", "W"), help="also time noise of this size")
    parser.add_argument("--repeats", type=int, default=5, help="runs over the noise")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(argv)
    description = read_description(args.config)
    print("| Engine | Precision | Input | fp32, s | It, s | fp32 / it | Equal labels | fp32 mIoU | mIoU |")
    print("|---|---|---|---:|---:|---:|---:|---:|---:|")
    left_out = []
    for name, precision in CASES:
        try:
            engines = [
                make_engine(description, engine=name, threads=args.threads, precision=one)
                for one in ("fp32", precision)
            ]
        except DeviceError as error:
            left_out.append(f"{name} {precision} is left out: {error}")
            continue
        start = f"| {name} | {precision} |"
        if args.val_list:
            print(f"{start} {accuracy(description, engines, args.val_list)} |", flush=True)
        if args.size:
            print(f"{start} {speed(description, engines, args.size, args.repeats)} | | | |", flush=True)
    for line in left_out:
        print(f"\n{line}")


def accuracy(description: DeployDescription, engines: list[Engine], val_list: str) -> str:
    """Cells of a row: both precisions over labelled pictures."""
    classes = description.num_classes
    if classes is None:
        sys.exit(f"{description.path}: num_classes is missing; export the model again")
    fp32, other = (ExportedModel(description, engine) for engine in engines)
    channels = fp32.img_channels
    pictures = labelled_pictures(val_list, num_classes=classes, channels=channels, ignore_index=255)
    found = compare((fp32, other), pictures, num_classes=classes)
    assert found.miou is not None
    before, after = found.miou
    figures = f"{found.speed:.2f} | {found.equal_labels:.2%} | {before:.4f} | {after:.4f}"
    return f"{found.pictures} pictures | | | {figures}"


def speed(description: DeployDescription, engines: list[Engine], size: list[int], repeats: int) -> str:
    """Cells of a row: both precisions in turn on noise."""
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
    fp32, other = (statistics.median(times) for times in seconds)
    return f"{size[0]}×{size[1]}, {repeats} runs | {fp32:.3f} | {other:.3f} | {fp32 / other:.2f}"


if __name__ == "__main__":
    main()
