"""Compares predicted labels with stored results, or stores them.

Examples:
    python test_tipc/compare_results.py --metric_file 'test_tipc/results/*.json' \\
        --predict_dir 'test_tipc/output/ccnet/python_infer_*_results'
    python test_tipc/compare_results.py --save test_tipc/results/mine_fp32.json \\
        --predict_dir test_tipc/output/ccnet/python_infer_cpu_..._results
"""

from __future__ import annotations

import argparse
import glob
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
import numpy.typing as npt

from paddleseg import log
from paddleseg.cli.common import EXIT_FAILED, EXIT_OK, run_program
from paddleseg.cli.flags import Parser, non_empty, refuse
from paddleseg.errors import DataError, UsageError
from paddleseg.files import write_whole

__all__ = ["Summary", "differences", "main", "read_stored", "read_summaries", "summarise"]

_GRID = 16
_ATOL = 0.15
# Which stored result a folder of predictions is held against: the one with the same word in its name.
_PRECISIONS = ("fp32", "bf16", "fp16", "int8")

_logger = log.get_logger(__name__)


@dataclass(frozen=True)
class Summary:
    """What is kept of one predicted label map.

    Attributes:
        size: Height and width in pixels.
        shares: Part of the pixels by class id; absent classes are left out.
        grid: Class ids at the middles of 16×16 equal cells, a row a text.
    """

    size: list[int]
    shares: dict[str, float]
    grid: list[str]


def summarise(label: npt.NDArray[np.integer[Any]]) -> Summary:
    """Summarises class ids, H×W."""
    height, width = label.shape
    classes, counts = np.unique(label, return_counts=True)
    rows = (np.arange(_GRID) * 2 + 1) * height // (2 * _GRID)
    columns = (np.arange(_GRID) * 2 + 1) * width // (2 * _GRID)
    return Summary(
        size=[height, width],
        shares={str(one): round(float(n) / label.size, 6) for one, n in zip(classes, counts, strict=True)},
        grid=[" ".join(map(str, row)) for row in label[np.ix_(rows, columns)].tolist()],
    )


def differences(stored: Summary, predicted: Summary) -> tuple[float, float]:
    """How far two label maps of one size are apart, both between 0 and 1.

    Returns:
        The part of the grid's cells whose classes differ, and the part of the picture that would have to
        change its class for the shares to be equal.
    """
    cells = [
        left != right
        for rows in zip(stored.grid, predicted.grid, strict=True)
        for left, right in zip(*(row.split() for row in rows), strict=True)
    ]
    classes = {*stored.shares, *predicted.shares}
    moved = sum(abs(stored.shares.get(one, 0.0) - predicted.shares.get(one, 0.0)) for one in classes)
    return sum(cells) / len(cells), moved / 2


def read_summaries(folder: Path) -> dict[str, Summary]:
    """Summarises the predictions of ``infer.py`` or ``predict.py``.

    Args:
        folder: Their ``--save_dir``; the class ids are in its ``label`` folder.

    Returns:
        Summaries by the picture's path below ``label``.

    Raises:
        DataError: There are no pictures, or one cannot be read.
    """
    root = folder / "label"
    files = sorted(root.rglob("*.png"))
    if not files:
        raise DataError(f"{root}: no label pictures; expected what deploy/python/infer.py writes")
    summaries = {}
    for file in files:
        label = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if label is None or label.ndim != 2:
            raise DataError(f"{file}: not a picture of class ids (one channel)")
        summaries[file.relative_to(root).as_posix()] = summarise(label)
    return summaries


def read_stored(file: Path) -> dict[str, Summary]:
    """Reads what ``--save`` wrote.

    Raises:
        DataError: The file is missing, damaged or something else.
    """
    try:
        images = json.loads(file.read_text(encoding="utf-8"))["images"]
        stored = {name: Summary(**fields) for name, fields in images.items()}
        for summary in stored.values():
            differences(summary, summary)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError) as error:
        raise DataError(f"{file}: not a stored result of --save ({error})") from error
    if not stored:
        raise DataError(f"{file}: holds no image")
    return stored


def problems(stored: Mapping[str, Summary], predicted: Mapping[str, Summary], atol: float) -> list[str]:
    """Says where predictions are not the stored ones, within a tolerance.

    Args:
        stored: By picture.
        predicted: By picture.
        atol: The largest part of the cells, and of the picture, that may differ.

    Returns:
        A line a picture; none where all agree.
    """
    lines = [f"{name}: not predicted" for name in stored.keys() - predicted.keys()]
    lines += [f"{name}: not among the stored results" for name in predicted.keys() - stored.keys()]
    for name in stored.keys() & predicted.keys():
        if stored[name].size != predicted[name].size:
            lines.append(f"{name}: size {predicted[name].size}, stored {stored[name].size}")
            continue
        cells, moved = differences(stored[name], predicted[name])
        if max(cells, moved) > atol:
            lines.append(f"{name}: {cells:.2%} of the cells and {moved:.2%} of the class shares differ")
    return sorted(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program. Returns 0, 1 when results differ, 2 for an error that the user can fix."""
    return run_program(_main, argv)


def _main(argv: Sequence[str]) -> int:
    args = _parse(argv)
    log.setup()
    folders = [Path(one) for one in sorted(glob.glob(args.predict_dir)) if Path(one).is_dir()]
    if not folders:
        raise UsageError(f"--predict_dir {args.predict_dir}: no such folder")
    if args.save is not None:
        if len(folders) != 1:
            raise UsageError(f"--save stores one folder, and --predict_dir names {len(folders)}")
        images = {name: asdict(one) for name, one in read_summaries(folders[0]).items()}
        write_whole(args.save, (json.dumps({"images": images}, indent=1) + "\n").encode())
        _logger.info(f"{args.save}: {len(images)} images of {folders[0]}")
        return EXIT_OK
    results = {Path(one): read_stored(Path(one)) for one in sorted(glob.glob(args.metric_file))}
    if not results:
        raise UsageError(f"--metric_file {args.metric_file}: no such file")
    verdicts = [_compare(folder, results, args.atol) for folder in folders]
    if all(verdict is None for verdict in verdicts):
        raise UsageError(
            "no folder has a stored result of its precision (fp32, bf16, fp16, int8 in both names)"
        )
    return EXIT_FAILED if False in verdicts else EXIT_OK


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="compare_results.py", description="Compare predicted labels with stored results.")
    parser.add_argument(
        "--predict_dir", type=non_empty, required=True, help="predictions (a glob of folders)"
    )
    purpose = parser.add_mutually_exclusive_group(required=True)
    purpose.add_argument("--metric_file", type=non_empty, help="stored results (a glob)")
    purpose.add_argument("--save", type=Path, help="store the predictions in this file instead")
    parser.add_argument("--atol", type=float, default=_ATOL, help="largest part of a picture that may differ")
    refused = parser.add_argument_group("flags of PaddleSeg that are refused with the reason")
    for flag in ("--gt_dir", "--num_classes", "--rtol"):
        refused.add_argument(flag, default=None)
    args = parser.parse(argv)
    for name in ("gt_dir", "num_classes", "rtol"):
        reason = "labels are compared, not metrics (val.py computes those); remove the flag"
        refuse(getattr(args, name) is not None, f"--{name}", reason)
    if not 0 <= args.atol < 1:
        raise UsageError(f"--atol {args.atol}: expected a part of the picture, from 0 to below 1")
    return args


def _compare(folder: Path, results: Mapping[Path, Mapping[str, Summary]], atol: float) -> bool | None:
    """Compares one folder. Returns None where nothing is stored for its precision."""
    precision = next((one for one in _PRECISIONS if one in folder.name), None)
    stored = [file for file in results if precision is not None and precision in file.name]
    if not stored:
        _logger.info(f"{folder.name}: nothing is stored for it")
        return None
    predicted = read_summaries(folder)
    found = {file: problems(results[file], predicted, atol) for file in stored}
    file = min(found, key=lambda one: len(found[one]))
    if not found[file]:
        _logger.info(f"Assert allclose passed! The results of {folder.name} and {file} are consistent!")
        return True
    for line in found[file]:
        _logger.error(line)
    _logger.error(f"Assert allclose failed! The results of {folder.name} and {file} are inconsistent!")
    return False


if __name__ == "__main__":
    sys.exit(main())
