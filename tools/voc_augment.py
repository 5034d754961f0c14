"""Adds the labels of the Semantic Boundaries Dataset (SBD) to PASCAL VOC 2012: 10,582 images to train on.

    python tools/voc_augment.py --voc_path data/VOCdevkit --sbd_path data/benchmark_RELEASE

Download and unpack first:
    VOCtrainval_11-May-2012.tar (VOCdevkit/VOC2012): http://host.robots.ox.ac.uk/pascal/VOC/voc2012/
    benchmark.tgz (benchmark_RELEASE): http://home.bharathh.info/pubs/codes/SBD/download.html
Writes VOC2012/SegmentationClassAug/ and VOC2012/ImageSets/Segmentation/aug.txt, the images of SBD that are
not in VOC's trainval.txt. It may be interrupted at any time and run again.
"""

from __future__ import annotations

import argparse
import functools
import io
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import numpy as np
import numpy.typing as npt
from dataset_tools import (
    add_overwrite_flag,
    add_workers_flag,
    check_folder,
    made,
    new_parser,
    parallel,
    read_bytes,
    read_text,
    run_tool,
    write_files,
    write_new,
)

from paddleseg.data.datasets.pairs import name_some
from paddleseg.errors import DataError
from paddleseg.visualise import png_of

__all__ = ["main", "read_mat"]

_CLASSES = 21
_HOME = Path("~/.paddleseg/dataset").expanduser()  # where PaddleSeg downloads to


def read_mat(source: Path) -> npt.NDArray[np.uint8]:
    """Reads the classes of an SBD file.

    Args:
        source: A MATLAB file of ``dataset/cls``.

    Returns:
        [H, W] classes 0 to 20.

    Raises:
        DataError: The file is damaged or holds something else.
    """
    from scipy.io import loadmat

    data = read_bytes(source)
    try:
        label = np.asarray(loadmat(io.BytesIO(data))["GTcls"]["Segmentation"][0, 0])
    except Exception as error:  # whatever a damaged file makes of SciPy's reader
        raise DataError(
            f"{source}: is no file of SBD's dataset/cls, or damaged ({type(error).__name__}: {error}); "
            "unpack benchmark.tgz again"
        ) from error
    if label.ndim != 2 or label.dtype.kind not in "iu" or not label.size or label.max() >= _CLASSES:
        raise DataError(f"{source}: GTcls.Segmentation is no picture of classes 0 to {_CLASSES - 1}")
    return label.astype(np.uint8)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tool.

    Args:
        arguments: Command line without the program's name; the process's own when omitted.

    Returns:
        Exit status: 0 when labels and list are there, 2 when they cannot be made, 130 when interrupted.
    """
    return run_tool(_main, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument(
        "--voc_path",
        type=Path,
        default=_HOME / "VOCdevkit",
        help="folder that holds VOC2012/ (default: %(default)s)",
    )
    parser.add_argument(
        "--sbd_path",
        type=Path,
        default=_HOME / "benchmark_RELEASE",
        help="folder that holds dataset/cls, train.txt and val.txt (default: %(default)s)",
    )
    add_workers_flag(parser)
    add_overwrite_flag(parser)
    return parser


def _main(arguments: Sequence[str]) -> int:
    args = _parser().parse_args(arguments)
    inside = (args.voc_path / "ImageSets").is_dir()
    voc = args.voc_path if inside else args.voc_path / "VOC2012"
    check_folder(voc, "PASCAL VOC 2012; --voc_path is the folder around VOC2012/")
    sbd = args.sbd_path / "dataset"
    mats = check_folder(sbd / "cls", "SBD, from benchmark.tgz; see --help and --sbd_path")
    lists = voc / "ImageSets" / "Segmentation"
    known = set(_names(lists / "trainval.txt"))
    names = sorted({*_names(sbd / "train.txt"), *_names(sbd / "val.txt")})
    new = [name for name in names if name not in known]
    sources = sorted(path for path in mats.glob("*.mat") if not path.name.startswith("."))
    _check_names(names, {path.stem for path in sources}, mats, "mat")
    _check_names(new, {path.stem for path in (voc / "JPEGImages").glob("*.jpg")}, voc / "JPEGImages", "jpg")
    target = voc / "SegmentationClassAug"
    convert = functools.partial(_convert, target, args.overwrite)
    written = parallel(convert, sources, workers=args.num_workers, title="converting")
    write_files({lists / "aug.txt": "".join(f"{name}\n" for name in new).encode()}, overwrite=args.overwrite)
    print(f"{target}: {made(sum(written), len(sources), 'labels')}; {lists / 'aug.txt'}: {len(new)} images")
    return 0


def _convert(folder: Path, overwrite: bool, source: Path) -> bool:
    return write_new(folder / f"{source.stem}.png", png_of(read_mat(source)), overwrite=overwrite)


def _names(path: Path) -> list[str]:
    names = read_text(path).split()
    if not names:
        raise DataError(f"{path}: the list is empty")
    return names


def _check_names(names: list[str], there: set[str], folder: Path, suffix: str) -> None:
    missing = [f"{name}.{suffix}" for name in names if name not in there]
    if missing:
        raise DataError(
            f"{folder}: lacks {len(missing)} of {len(names)} listed files:\n{name_some(missing)}\n"
            "unpack the download again"
        )


if __name__ == "__main__":
    sys.exit(main())
