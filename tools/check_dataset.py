"""Checks a data set before training: files, labels, classes, duplicates, sizes; says what to do about each.

What a config trains and evaluates on:
    python tools/check_dataset.py --config configs/X.yml
A folder with images/ and masks/, or lists of pairs:
    python tools/check_dataset.py --dataset_root data/mine --num_classes 4
    python tools/check_dataset.py --dataset_root data/mine --train_path data/mine/train.txt --num_classes 4

It writes report.json and report.html into --output. Exit status: 0 when the data can be trained on, 1 when
something must be fixed, 2 when the request cannot be met, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import functools
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from dataset_page import page_of
from dataset_sheet import make_cards, sheet_palette
from dataset_tools import run_tool
from tqdm import tqdm

from paddleseg import runtime
from paddleseg.cli.common import EXIT_FAILED, EXIT_OK
from paddleseg.cli.flags import non_empty, non_negative_int, positive_int
from paddleseg.data.check.checker import Split, check_datasets
from paddleseg.data.check.findings import Severity
from paddleseg.data.check.inspection import SampleFacts
from paddleseg.data.check.report import Report
from paddleseg.data.check.scan import ScanOptions, pick
from paddleseg.data.class_scan import class_ids_of, count_likely_classes, outlying_ids
from paddleseg.data.datasets.base import MODES, SegmentationDataset, UnpairedError
from paddleseg.data.datasets.pairs import AbsentPartError
from paddleseg.errors import DataError, UsageError
from paddleseg.files import write_whole

if TYPE_CHECKING:
    from paddleseg.config.config import Config

__all__ = ["main"]

_ANY_COUNT = 2**16
_FOLDER_FLAGS = ("type", "num_classes", "ignore_index", "train_path", "val_path", "test_path", "separator")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tool.

    Args:
        arguments: Command line without the program's name; the process's own when omitted.

    Returns:
        Exit status: 0; 1 when something must be fixed, 2 for a request that cannot be met, 130 for Ctrl-C.
    """
    return run_tool(_main, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--config", type=non_empty, help="YAML file that names the data sets")
    parser.add_argument(
        "--opts", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change config entries"
    )
    parser.add_argument(
        "--modes", nargs="+", choices=MODES, help="which splits; default: those that there are"
    )
    folder = parser.add_argument_group("without a config")
    folder.add_argument("--dataset_root", type=non_empty, help="folder of the data set")
    folder.add_argument("--type", type=non_empty, help="its type; default: FolderDataset, with lists Dataset")
    folder.add_argument("--num_classes", type=positive_int, help="classes; default: as many as labels hold")
    folder.add_argument("--ignore_index", type=int, help="label value that takes no part (255)")
    folder.add_argument("--train_path", type=non_empty, help="list of pairs; also --val_path, --test_path")
    folder.add_argument("--val_path", type=non_empty, help=argparse.SUPPRESS)
    folder.add_argument("--test_path", type=non_empty, help=argparse.SUPPRESS)
    folder.add_argument("--separator", help="what stands between image and label in the lists (a space)")
    parser.add_argument(
        "--output", type=non_empty, default="output/check_dataset", help="folder for the report (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON instead of a table")
    parser.add_argument(
        "--limit", type=positive_int, help="look at so many samples of a split, spread evenly"
    )
    parser.add_argument(
        "--pictures", type=non_negative_int, default=24, help="samples on the page (%(default)s)"
    )
    parser.add_argument(
        "--workers", type=non_negative_int, help="processes that read; default: the cores this process has"
    )
    return parser


def _main(arguments: Sequence[str]) -> int:
    args = _parser().parse_args(arguments)
    if (args.config is None) == (args.dataset_root is None):
        raise UsageError("give --config, or --dataset_root for a data set without one (see --help)")
    given = [name for name in _FOLDER_FLAGS if getattr(args, name) is not None]
    if args.config is not None and given:
        raise UsageError(f"--{given[0]}: goes with --dataset_root; change a config with --opts")
    if args.config is None and args.opts:
        raise UsageError("--opts: changes a config, and there is none; give --config")
    output = Path(args.output)
    _check_output(output)
    splits = _from_config(args) if args.config is not None else _from_folder(args)
    workers = runtime.available_cores() if args.workers is None else args.workers
    report = check_datasets(
        splits,
        source=args.config or args.dataset_root,
        options=ScanOptions(workers=workers, limit=args.limit),
        progress=_progress,
    )
    print(json.dumps(report.as_dict(), indent=2) if args.json else "\n".join(report.lines()))
    _write(report, {name: one.dataset for name, one in splits.items() if one.dataset}, output, args.pictures)
    where = f"{output / 'report.html'} shows it; {output / 'report.json'} has the figures"
    print(where, file=sys.stderr if args.json else sys.stdout)
    return EXIT_FAILED if report.count(Severity.ERROR) else EXIT_OK


def _check_output(output: Path) -> None:
    """Before all files are read in vain."""
    there = next(one for one in (output, *output.absolute().parents) if one.exists())
    if not there.is_dir():
        raise UsageError(f"--output {output}: {there} is a file; name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"--output {output}: {there} cannot be written to; name another folder")


def _progress(facts: Iterable[SampleFacts], split: str, count: int) -> Iterable[SampleFacts]:
    return tqdm(facts, desc=split, total=count, unit="image", disable=None)


def _from_config(args: argparse.Namespace) -> dict[str, Split]:
    runtime.import_framework()
    import paddle

    paddle.disable_signal_handler()  # it prints a C++ stack on SIGTERM
    from paddleseg.build import check_files, load_config
    from paddleseg.build_packs import without_pack
    from paddleseg.config.components import construct
    from paddleseg.registry import DATASETS as KINDS

    def build(config: Config, mode: str) -> SegmentationDataset:
        block = f"{mode}_dataset"
        dataset: SegmentationDataset = construct(without_pack(config.node((block,))), (block,), KINDS)
        return dataset

    def count(trial: Config) -> tuple[int, str]:
        return _count_classes(functools.partial(build, trial, "train"), args), "the labels of train"

    wanted = args.modes or MODES
    required = [f"{mode}_dataset" for mode in args.modes or ()]
    config = load_config(args.config, args.opts, required=required, count_classes=count)
    modes = [mode for mode in wanted if config.node((f"{mode}_dataset",)) is not None]
    if not modes:
        raise UsageError(
            f"{args.config}: names no data set: no {', '.join(f'{one}_dataset' for one in MODES)}"
        )
    for mode in modes:  # the files are what is wanted here
        config.set((f"{mode}_dataset", "pack"), None, "tools/check_dataset.py")
    check_files(config, [f"{mode}_dataset" for mode in modes])
    splits = {mode: _split(functools.partial(build, config, mode)) for mode in modes}
    for mode, split in splits.items():
        if split.dataset is not None and not isinstance(split.dataset, SegmentationDataset):
            raise UsageError(f"{mode}_dataset: its type does not derive from SegmentationDataset")
    return splits


def _from_folder(args: argparse.Namespace) -> dict[str, Split]:
    from paddleseg.data.datasets import Dataset, FolderDataset
    from paddleseg.registry import DATASETS

    if not Path(args.dataset_root).is_dir():
        raise UsageError(f"--dataset_root {args.dataset_root}: no such folder")
    lists = {mode: getattr(args, f"{mode}_path") for mode in MODES}
    kind: Any = Dataset if any(lists.values()) else FolderDataset
    kind = kind if args.type is None else DATASETS.get(args.type)
    options = {"dataset_root": args.dataset_root, "transforms": []}
    taken = inspect.signature(kind).parameters
    for name in _FOLDER_FLAGS[1:]:
        value = getattr(args, name)
        if value is not None and name not in taken:
            raise UsageError(f"--{name}: {kind.__name__} does not take it; remove the flag")
        options |= {} if value is None else {name: value}
    wanted = args.modes or [mode for mode in MODES if kind is not Dataset or lists[mode]]
    tells_itself = getattr(kind, "NUM_CLASSES", None) is not None
    if "num_classes" in taken and args.num_classes is None and not tells_itself:
        options["num_classes"] = _count_classes(
            functools.partial(kind, mode=wanted[0], num_classes=_ANY_COUNT, **options), args
        )
    splits = {}
    for mode in wanted:
        try:
            splits[mode] = _split(functools.partial(kind, mode=mode, **options))
        except DataError as error:
            is_there = kind is FolderDataset and not isinstance(error, AbsentPartError)
            if args.modes or lists[mode] or mode == wanted[0] or is_there:
                raise
            if kind is not FolderDataset:
                print(f"{mode} is left out: {error}", file=sys.stderr)
    return splits


def _split(build: Callable[[], SegmentationDataset]) -> Split:
    try:
        return Split(build())
    except UnpairedError as error:
        return Split(error.dataset, error.found)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _count_classes(build: Callable[[], SegmentationDataset], args: argparse.Namespace) -> int:
    """As many classes as labels hold; bad files, and values far from others, are for the check to name."""
    dataset = _split(build).dataset
    found = {}
    if dataset is not None and dataset.files[0].label is not None:
        chosen = pick(len(dataset), args.limit)
        found = class_ids_of(
            dataset,
            threads=runtime.available_cores(),
            progress=functools.partial(tqdm, desc="classes", total=len(chosen), unit="label", disable=None),
            indices=chosen,
            skip_bad=True,
        )
    count, stray = count_likely_classes(found), outlying_ids(found)
    without = f" without {', '.join(map(str, stray[:8]))}{', …' if len(stray) > 8 else ''}" if stray else ""
    where = f"the labels of {dataset.mode if dataset else 'train'}"
    print(f"num_classes is not given: {count}, by {where}{without}", file=sys.stderr)
    return count


def _write(report: Report, datasets: dict[str, SegmentationDataset], output: Path, pictures: int) -> None:
    cards = make_cards(report, datasets, pictures)
    page = page_of(report, cards, sheet_palette(list(datasets.values())))
    write_whole(output / "report.json", (json.dumps(report.as_dict(), indent=2) + "\n").encode())
    write_whole(output / "report.html", page.encode("utf-8"))


if __name__ == "__main__":
    sys.exit(main())
