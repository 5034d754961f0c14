"""Data and weights for the TIPC scripts; prepare.sh runs it.

Example:
    python test_tipc/prepare_files.py data --target test_tipc/data/prepared --train 20 --val 5
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import lzma
import shutil
import subprocess
import sys
import tarfile
import threading
import urllib.request
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from paddleseg import log
from paddleseg.cli.common import EXIT_OK, run_program
from paddleseg.cli.flags import Parser, non_empty, positive_int
from paddleseg.data.datasets.cityscapes import find_pairs
from paddleseg.errors import DataError, OutputError, PaddleSegError, UsageError, WeightsError
from paddleseg.files import replace_file, replace_folder
from paddleseg.models.download import cached_path, fetch

__all__ = ["download_and_extract", "extract", "link_data", "main"]

_ROOT = Path(__file__).resolve().parents[1]
_TREES = ("leftImg8bit", "gtFine")
_MARKER = "tipc.json"
_SECONDS_WITHOUT_ANSWER = 20.0
_MAX_ENTRIES, _MAX_BYTES = 60_000, 32 << 30
_CHUNK = 1 << 20
_DEMO = ("--train", "20", "--val", "5", "--size", "192", "96")

_logger = log.get_logger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program. Returns its exit status: 0; 2 for an error that the user can fix."""
    return run_program(_main, argv)


def _main(argv: Sequence[str]) -> int:
    parser = Parser(prog="prepare_files.py", description="Make data or weights ready for TIPC.")
    commands = parser.add_subparsers(dest="command", required=True)
    data = commands.add_parser("data", help="the data set")
    data.add_argument("--source", type=Path, default=None, help="a Cityscapes folder")
    data.add_argument("--train", type=positive_int, default=None, help="training images; default all")
    data.add_argument("--val", type=positive_int, default=None, help="validation images; default all")
    weights = commands.add_parser("weights", help="trained weights")
    for command in (data, weights):
        command.add_argument("--target", type=Path, required=True, help="what to make")
        command.add_argument("--url", type=non_empty, required=True, help="where to download it")
        command.add_argument(
            "--timeout", type=float, default=_SECONDS_WITHOUT_ANSWER, help="seconds to wait for an answer"
        )
    args = parser.parse(argv)
    log.setup()
    if args.command == "data":
        _prepare_data(args)
    else:
        _prepare_weights(args.target, args.url, args.timeout)
    return EXIT_OK


def _prepare_data(args: argparse.Namespace) -> None:
    target: Path = args.target
    if args.source is not None and not _is_cityscapes(args.source):
        raise UsageError(f"{args.source}: expected a Cityscapes folder, with {' and '.join(_TREES)} in it")
    source = args.source or _find_source(target.parent, args.url, args.timeout)
    counts = link_data(source, target, limits={"train": args.train, "val": args.val})
    _logger.info(f"{target}: links to {counts['train']} train and {counts['val']} val images of {source}")


def _find_source(folder: Path, url: str, timeout: float) -> Path:
    """The user's Cityscapes folder, the project's, a downloaded one, or the demo data set."""
    for own in (folder / "cityscapes", _ROOT / "data" / "cityscapes"):
        if _is_cityscapes(own):
            return own
    try:
        return download_and_extract(url, folder / "downloads", timeout=timeout)
    except PaddleSegError as error:
        _logger.warning(f"No Cityscapes data: {error}")
    demo = folder / "demo"
    _logger.warning(f"Making the demo data set instead (drawn street scenes): {demo}")
    tool = _ROOT / "tools" / "make_demo_dataset.py"
    command = [sys.executable, str(tool), "--output", str(demo), *_DEMO, "--force"]
    if subprocess.run(command, check=False).returncode != 0:
        raise DataError(f"{demo}: the demo data set could not be made; the message above says why")
    return demo


def _is_cityscapes(folder: Path) -> bool:
    return all((folder / tree).is_dir() for tree in _TREES)


def link_data(source: Path, target: Path, *, limits: dict[str, int | None]) -> dict[str, int]:
    """Makes a Cityscapes folder of links, with the lists ``train.list`` and ``val.list``.

    Args:
        source: The folder with the files.
        target: The folder to make; an earlier one of this function is replaced.
        limits: How many images of each split, evenly spread over it; None: all.

    Returns:
        The number of images by split.

    Raises:
        DataError: Images or labels are missing in ``source``.
        OutputError: ``target`` is something else, or cannot be written.
    """
    if target.exists() and not (target / _MARKER).is_file():
        raise OutputError(
            f"{target}: holds something that prepare.sh did not make; move it away, a Cityscapes folder to "
            f"{target.parent / 'cityscapes'}"
        )
    source = source.resolve()
    counts: dict[str, int] = {}

    def write(folder: Path) -> None:
        for split, limit in limits.items():
            counts[split] = _link_split(source, folder, split, limit)
        (folder / _MARKER).write_text(json.dumps({"source": str(source), **counts}) + "\n", "utf-8")

    _replace(target, write)
    return counts


def _link_split(source: Path, folder: Path, split: str, limit: int | None) -> int:
    pairs = find_pairs(str(source), split)
    count = min(limit or len(pairs), len(pairs))
    lines = []
    for pair in (pairs[i * len(pairs) // count] for i in range(count)):
        assert pair.label is not None, "only the test split has no labels"
        names = [Path(path).relative_to(source) for path in (pair.image, pair.label)]
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(source / name)
        lines.append(" ".join(name.as_posix() for name in names))
    (folder / f"{split}.list").write_text("\n".join(lines) + "\n", "utf-8")
    return count


def download_and_extract(url: str, folder: Path, *, timeout: float) -> Path:
    """Downloads an archive of a Cityscapes folder; a second call finds what the first one made.

    Args:
        url: ``http(s)://`` address of a tar archive, compressed or not.
        folder: Where the archive's content goes, below its address.
        timeout: Seconds without an answer after which it gives up.

    Returns:
        The folder with ``leftImg8bit`` and ``gtFine``.

    Raises:
        WeightsError: It cannot be downloaded.
        DataError: The archive is damaged, unsafe, or holds no Cityscapes folder.
        OutputError: The folder cannot be written.
    """
    archive = cached_path(url, folder / "archives")
    extracted = folder / archive.name.partition(".")[0]
    if not extracted.is_dir():
        fetch_in_time(url, folder / "archives", timeout=timeout)
        try:
            extract(archive, extracted)
        except DataError:
            archive.unlink()  # so that another run downloads it again
            raise
    found = [
        candidate for candidate in (extracted, *sorted(extracted.iterdir())) if _is_cityscapes(candidate)
    ]
    if not found:
        raise DataError(f"{url}: the archive holds no folder with {' and '.join(_TREES)}")
    return found[0]


def fetch_in_time(url: str, cache: Path, *, timeout: float) -> Path:
    """As :func:`paddleseg.models.download.fetch`, but names with many addresses get no second chance.

    Args:
        url: ``http(s)://`` address.
        cache: Folder of the copies.
        timeout: Seconds without an answer, the look-up of the name included, after which it gives up.

    Returns:
        The file in the cache.

    Raises:
        WeightsError: It cannot be downloaded.
    """
    if not cached_path(url, cache).is_file():
        # What is wrong, fetch says. A look-up of a name that hangs stays behind with its thread.
        asking = threading.Thread(target=_ask, args=(url, timeout), daemon=True)
        asking.start()
        asking.join(timeout)
        if asking.is_alive():
            raise WeightsError(f"cannot download {url}: no answer within {timeout:g} seconds")
    return fetch(url, cache, retries=0, timeout=timeout)


def _ask(url: str, timeout: float) -> None:
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=timeout).close()


def extract(archive: Path, target: Path) -> None:
    """Extracts a tar archive as a whole or not at all.

    Args:
        archive: Its path. Every name in it is checked before the first file is written.
        target: The folder to make.

    Raises:
        DataError: The archive is damaged or cut short, or holds a link, a device, a path that leaves the
            folder, or more than Cityscapes does.
        OutputError: The folder cannot be written.
    """
    try:
        with tarfile.open(archive) as tar:
            members = tar.getmembers()
            _check_members(archive, members, shutil.disk_usage(archive.parent).free)

            def write(folder: Path) -> None:
                for member in members:
                    member.mode = 0o755 if member.isdir() else 0o644
                    tar.extract(member, folder, set_attrs=False)
                _read_to_the_end(tar)

            _replace(target, lambda folder: _without_damage(write, folder))
    except (OSError, ValueError, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(
            f"{archive}: not a complete tar archive ({error}); it is removed, run again"
        ) from error


def _read_to_the_end(tar: tarfile.TarFile) -> None:
    """Makes the decompressor compare its checksum, which follows the last file."""
    assert tar.fileobj is not None, "it is open"
    while tar.fileobj.read(_CHUNK):
        pass


def _without_damage(write: Callable[[Path], None], folder: Path) -> None:
    try:
        write(folder)
    except OSError as error:
        if error.errno is not None:  # the system's, such as a full disk
            raise
        raise tarfile.ReadError(str(error)) from error  # a decompressor's


def _check_members(archive: Path, members: Sequence[tarfile.TarInfo], free: int) -> None:
    for member in members:
        name = PurePosixPath(member.name)
        if not (member.isfile() or member.isdir()) or name.is_absolute() or ".." in name.parts:
            raise DataError(f"{archive}: refused: '{member.name}' is a link, a device or leaves the folder")
    total = sum(member.size for member in members)
    if len(members) > _MAX_ENTRIES or total > _MAX_BYTES:
        raise DataError(f"{archive}: refused: {len(members)} entries of {total >> 20} MiB are not Cityscapes")
    if total > free:
        raise OutputError(f"{archive}: needs {total >> 20} MiB, {free >> 20} MiB are free")


def _replace(target: Path, write: Callable[[Path], None]) -> None:
    try:
        replace_folder(target, write)
    except OSError as error:
        raise OutputError(f"{error.filename or target}: {error.strerror or error}") from error


def _prepare_weights(target: Path, url: str, timeout: float) -> None:
    if target.is_file():
        _logger.info(f"{target}: used as it is")
        return
    try:
        if url == "null":
            raise WeightsError("the parameter file has no infer_model_url in its extra_params")
        cached = fetch_in_time(url, target.parent / "downloads", timeout=timeout)
    except PaddleSegError as error:
        raise WeightsError(
            f"{target}: no trained weights there, and no way to download them: {error}. Copy yours there, "
            "such as best_model/model.pdparams of a training with the config of the parameter file"
        ) from error
    replace_file(target, lambda part: shutil.copyfile(cached, part))
    _logger.info(f"{target}: downloaded from {url}")


if __name__ == "__main__":
    sys.exit(main())
