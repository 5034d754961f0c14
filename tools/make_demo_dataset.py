"""Makes the demo data set: procedural street scenes in the Cityscapes folder layout.

Example:
    python tools/make_demo_dataset.py --output data/demo --train 240 --val 40 --size 192 96
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from demo_scenes.dataset import DemoOptions, make_demo_dataset
from tqdm import tqdm

from paddleseg.errors import PaddleSegError

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to create")
    parser.add_argument("--train", type=int, default=240, help="number of training pictures (default 240)")
    parser.add_argument("--val", type=int, default=40, help="number of validation pictures (default 40)")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(192, 96),
        metavar=("W", "H"),
        help="size in pixels (default 192 96)",
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same pictures (default 0)")
    parser.add_argument(
        "--force", action="store_true", help="replace a demo data set made with other arguments"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the tool.

    Args:
        arguments: Command line without the program's name; the process's own when omitted.

    Returns:
        Exit status: 0 when the data set is ready, 2 when the request cannot be met, 130 when interrupted.
    """
    args = _parser().parse_args(arguments)
    width, height = args.size
    options = DemoOptions(train=args.train, val=args.val, width=width, height=height, seed=args.seed)
    try:
        written = make_demo_dataset(
            args.output,
            options,
            force=args.force,
            progress=lambda items: tqdm(items, desc="drawing", unit="picture", disable=None),
        )
    except PaddleSegError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was left behind", file=sys.stderr)
        return 130
    found = f"{args.train} train and {args.val} val pictures of {width}x{height}"
    print(f"{args.output}: {'wrote' if written else 're-used'} {found}")
    return 0


if __name__ == "__main__":
    # A polite kill cleans up like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
