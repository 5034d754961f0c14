"""Shows what a model costs, layer by layer: parameters, FLOPs, time and memory.

    python tools/analyze_model.py --config configs/quick_start/quick_start.yml --input_shape 1 3 512 1024
All layers instead of the two upper levels, and all numbers in a file:
    python tools/analyze_model.py --config … --depth 99 --json costs.json

Parameters are those of the whole model, also where only training uses them. A multiply-add (MAC) is two
FLOPs; PaddleSeg's tool, and many papers, print multiply-adds under the name FLOPs. Convolutions, linear
layers and attention products are counted. Times are medians of --repeats passes in evaluation mode, after one
to warm up; a layer's time is that of all in it. Outputs are the bytes of all tensors that layers return:
about what training keeps for the backward pass; evaluation frees most of it at once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).resolve().parents[1]))

from dataset_tools import run_tool

from paddleseg.cli.common import start
from paddleseg.cli.flags import (
    Parser,
    add_common_flags,
    non_negative_int,
    positive_int,
    refuse_common,
)
from paddleseg.errors import UsageError
from paddleseg.files import write_whole

if TYPE_CHECKING:
    from model_analysis import LayerCost
    from paddle import nn

__all__ = ["main", "table"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tool.

    Args:
        arguments: Command line without the program's name; the process's own when omitted.

    Returns:
        Exit status: 0 when the table is shown, 2 when it cannot be made, 130 when interrupted.
    """
    return run_tool(_main, arguments)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="analyze_model.py", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_common_flags(parser)
    parser.add_argument(
        "--input_shape",
        nargs=4,
        type=positive_int,
        default=[1, 3, 1024, 1024],
        metavar=("N", "C", "H", "W"),
        help="shape of the input (default: 1 3 1024 1024)",
    )
    parser.add_argument(
        "--depth", type=non_negative_int, default=2, help="levels of layers in the table (default: 2)"
    )
    parser.add_argument("--repeats", type=positive_int, default=5, help="timed passes (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers of all layers there")
    return parser.parse(arguments)


def _main(arguments: Sequence[str]) -> int:
    args = _parse(arguments)
    refuse_common(args)
    settings, device = start(args)
    model = _build(args)
    from model_analysis import analyse

    costs = analyse(model, args.input_shape, repeats=args.repeats)
    shape = "×".join(map(str, args.input_shape))
    print(table([cost for cost in costs if cost.depth <= args.depth]))
    whole = costs[0]
    print(
        f"\n{args.config}, input {shape}, {device}, {settings.threads} threads, "
        f"median of {args.repeats} passes\n"
        f"parameters {whole.parameters:,} ({whole.parameter_bytes / 2**20:.1f} MiB with statistics), "
        f"{whole.multiply_adds / 1e9:.3f} G multiply-adds = {whole.flops / 1e9:.3f} G FLOPs, "
        f"{whole.milliseconds:.1f} ms, outputs {whole.output_bytes / 2**20:.1f} MiB"
    )
    if args.json is not None:
        tree = {
            "config": args.config,
            "input_shape": args.input_shape,
            "device": device,
            "threads": settings.threads,
            "repeats": args.repeats,
            "model": whole.as_dict(),
            "layers": [cost.as_dict() for cost in costs[1:]],
        }
        write_whole(args.json, (json.dumps(tree, indent=1, ensure_ascii=False) + "\n").encode())
        print(f"{args.json}: {len(costs) - 1} layers")
    return 0


def _build(args: argparse.Namespace) -> nn.Layer:
    """The model of a config, with random weights: what they are changes nothing here."""
    from paddleseg.build import build_model, load_config
    from paddleseg.config.consistency import input_channels

    config = load_config(args.config, args.opts, required=("model",))
    for key in ("model.pretrained", "model.backbone.pretrained"):
        if config.node(key) is not None:
            config.set(key, None, "tools/analyze_model.py")
    channels = input_channels(config)
    if args.input_shape[1] != channels:
        shape = " ".join(map(str, args.input_shape))
        raise UsageError(f"--input_shape {shape}: the model takes {channels} channels: N {channels} H W")
    return build_model(config)


def table(costs: Sequence[LayerCost]) -> str:
    """Lays layers out in columns.

    Args:
        costs: The model, then the layers to show.
    """
    total = costs[0].milliseconds or 1.0
    head = ("Layer", "Type", "Output", "Params (M)", "MACs (G)", "Time (ms)", "%", "Outputs (MiB)")
    rows = [head]
    for cost in costs:
        ran = cost.calls > 0
        rows.append(
            (
                cost.name or "(model)",
                cost.type + (f" ×{cost.calls}" if cost.calls > 1 else ""),
                "×".join(map(str, cost.output_shape or ())) if ran else "not used in evaluation",
                f"{cost.parameters / 1e6:.3f}",
                f"{cost.multiply_adds / 1e9:.3f}" if ran else "",
                f"{cost.milliseconds:.2f}" if ran else "",
                f"{100 * cost.milliseconds / total:.0f}" if ran else "",
                f"{cost.output_bytes / 2**20:.1f}" if ran else "",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < 3 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


if __name__ == "__main__":
    sys.exit(main())
