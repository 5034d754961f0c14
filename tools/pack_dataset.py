"""Packs the decoded images and labels of a data set, so that training need not decode them again.

Make a pack, then train from it:
    python tools/pack_dataset.py --config configs/X.yml --mode train --output data/packs/train
    python train.py --config configs/X.yml --opts train_dataset.pack=data/packs/train
Compare all bytes of a pack with their checksums:
    python tools/pack_dataset.py --verify --output data/packs/train

It may be interrupted at any time and run again: finished shards are kept.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from tqdm import tqdm

from paddleseg import runtime
from paddleseg.cli.common import EXIT_INTERRUPTED, EXIT_OK, run_program
from paddleseg.cli.flags import non_empty, non_negative_int, positive_int
from paddleseg.data.pack import verify_pack
from paddleseg.data.pack_index import read_index
from paddleseg.data.packing import PackOptions, build_pack
from paddleseg.errors import DataError, UsageError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tool.

    Args:
        arguments: Command line without the program's name; the process's own when omitted.

    Returns:
        Exit status: 0 when the pack is there and whole, 2 when not, 130 when interrupted.
    """
    return run_program(_main, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=non_empty, help="YAML file that names the data set")
    parser.add_argument("--mode", choices=("train", "val", "test"), help="which of its data sets")
    parser.add_argument("--output", type=non_empty, required=True, help="folder of the pack")
    parser.add_argument(
        "--shards",
        type=positive_int,
        default=16,
        help="files to spread the samples over, up to 512 (default 16)",
    )
    parser.add_argument(
        "--only_shards",
        type=non_negative_int,
        nargs="+",
        metavar="N",
        help="make these alone, numbered from 0; others may be on other machines",
    )
    parser.add_argument(
        "--workers", type=non_negative_int, help="processes that decode; default: the cores this process has"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an earlier pack, or its --only_shards"
    )
    parser.add_argument("--verify", action="store_true", help="compare a pack with its checksums instead")
    parser.add_argument(
        "--opts", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change config entries"
    )
    return parser


def _main(arguments: Sequence[str]) -> int:
    args = _parser().parse_args(arguments)
    workers = runtime.available_cores() if args.workers is None else args.workers
    if args.verify:
        return _verify(args.output, max(1, workers))
    if args.config is None or args.mode is None:
        raise UsageError("--config and --mode: needed to make a pack; --verify looks at one that is there")
    try:
        return _pack(args, workers)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return EXIT_INTERRUPTED


def _pack(args: argparse.Namespace, workers: int) -> int:
    runtime.import_framework()
    import paddle

    paddle.disable_signal_handler()  # it prints a C++ stack on SIGTERM
    from paddleseg.build import check_files, load_config
    from paddleseg.build_packs import build_for_packing, dataset_root

    block = f"{args.mode}_dataset"
    config = load_config(args.config, args.opts, required=(block,))
    config.set((block, "pack"), None, "tools/pack_dataset.py")  # the files are what is wanted here
    check_files(config, [block])
    dataset = build_for_packing(config, args.mode)
    options = PackOptions(
        shards=args.shards,
        only_shards=args.only_shards,
        workers=workers,
        overwrite=args.overwrite,
        root=dataset_root(config, args.mode),
    )
    with _term_like_interrupt():
        count = build_pack(
            dataset,
            Path(args.output),
            options,
            progress=lambda indices: tqdm(indices, desc="packing", unit="image", disable=None),
        )
    what = f"packed {count} of {len(dataset)} images" if count else "is there already and up to date"
    print(f"{args.output}: {what}; use it with {block}.pack={args.output}")
    return EXIT_OK


@contextlib.contextmanager
def _term_like_interrupt() -> Iterator[None]:
    """A polite kill ends the workers as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _verify(output: str, threads: int) -> int:
    total = len(read_index(Path(output)).samples)
    checked = tqdm(
        verify_pack(output, threads=threads), total=total, desc="verifying", unit="image", disable=None
    )
    results = list(checked)
    damages = [one for one in results if one is not None]
    if damages:
        more = f"\n… and {len(damages) - 5} more" if len(damages) > 5 else ""
        raise DataError(
            "\n".join(damages[:5]) + more + "\npack again with --overwrite, or copy the pack again"
        )
    missing = (
        f"; {total - len(results)} images are in shards that are not here" if len(results) < total else ""
    )
    print(f"{output}: {len(results)} of {total} images are as they were packed{missing}")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
