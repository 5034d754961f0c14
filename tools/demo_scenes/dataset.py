"""Writes the demo data set in the Cityscapes folder layout."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from demo_scenes.scene import draw_scene
from paddleseg.errors import DataError, OutputError, UsageError

__all__ = ["DemoOptions", "make_demo_dataset"]

MANIFEST = "demo_dataset.json"
# Raise it whenever the pictures of the same arguments change.
_VERSION = 2
# Invented names: nobody should take these pictures for real ones.
_CITIES = {"train": ("demoburg", "demohausen", "demostadt"), "val": ("demodorf",)}
_FRAME = 19
_SMALLEST = 32

Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class DemoOptions:
    """What decides every byte of the data set.

    Args:
        train: Number of training pictures.
        val: Number of validation pictures.
        width: Picture width in pixels.
        height: Picture height in pixels.
        seed: Seed; train and val take disjoint streams of it.
    """

    train: int
    val: int
    width: int
    height: int
    seed: int

    def check(self) -> None:
        """Raises UsageError when a value is out of range."""
        for name in ("train", "val"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name}: expected at least 1 picture, got {getattr(self, name)}")
        if min(self.width, self.height) < _SMALLEST:
            got = f"{self.width} {self.height}"
            raise UsageError(f"--size: expected width and height of at least {_SMALLEST} pixels, got {got}")
        if self.seed < 0:
            raise UsageError(f"--seed: expected 0 or more, got {self.seed}")


def make_demo_dataset(
    target: Path, options: DemoOptions, *, force: bool = False, progress: Progress = lambda items: items
) -> bool:
    """Makes the data set, or finds that it is there already.

    It is written beside ``target`` and moved there when complete, so an interrupt leaves nothing half-made.

    Args:
        target: Folder of the data set.
        options: Number, size and seed of the pictures.
        force: Replace a demo data set made with other arguments.
        progress: Wraps the sequence of pictures, to show how far it got.

    Returns:
        True when the data set was written, False when the one there was re-used.

    Raises:
        UsageError: An argument is out of range, or ``target`` holds a demo data set of other arguments.
        DataError: The demo data set at ``target`` has lost files.
        OutputError: ``target`` is a file or a folder of something else, or cannot be written.
    """
    options.check()
    if _is_reusable(target, options, force):
        return False
    partial = target.absolute().with_name(f".{target.absolute().name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        _write(partial, options, progress)
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    except OSError as error:
        raise OutputError(f"{target}: cannot write the demo data set: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def _is_reusable(target: Path, options: DemoOptions, force: bool) -> bool:
    """Whether the wanted data set is at ``target``; raises when something that must stay is."""
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target}: is a file; --output expects a folder to create")
    if not target.exists() or not any(target.iterdir()):
        return False
    manifest = _read_manifest(target)
    if manifest is None:
        raise OutputError(
            f"{target}: the folder is not empty and was not made by this tool; "
            "choose another --output or empty it yourself"
        )
    if force:
        return False
    if manifest != _manifest(options):
        raise UsageError(
            f"{target}: holds a demo data set made with other arguments ({_differences(manifest, options)}); "
            "add --force to replace it or choose another --output"
        )
    missing = [name for pair in _file_names(options) for name in pair if not (target / name).is_file()]
    if missing:
        raise DataError(
            f"{target}: {len(missing)} files are missing, the first is {missing[0]}; run with --force"
        )
    return True


def _read_manifest(target: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and "version" in manifest else None


def _manifest(options: DemoOptions) -> dict[str, Any]:
    return {"version": _VERSION, **asdict(options)}


def _differences(manifest: dict[str, Any], options: DemoOptions) -> str:
    wanted = _manifest(options)
    return ", ".join(
        f"{name}: there {manifest.get(name)}, asked {value}"
        for name, value in wanted.items()
        if manifest.get(name) != value
    )


def _file_names(options: DemoOptions) -> list[tuple[str, str]]:
    """Image and label path of every picture, train first, relative to the data set's folder."""
    names = []
    for split, count in (("train", options.train), ("val", options.val)):
        cities = _CITIES[split]
        for index in range(count):
            city = cities[index % len(cities)]
            stem = f"{split}/{city}/{city}_{index // len(cities):06d}_{_FRAME:06d}"
            names.append((f"leftImg8bit/{stem}_leftImg8bit.png", f"gtFine/{stem}_gtFine_labelIds.png"))
    return names


def _write(folder: Path, options: DemoOptions, progress: Progress) -> None:
    train_seed, val_seed = np.random.SeedSequence(options.seed).spawn(2)
    seeds = [*train_seed.spawn(options.train), *val_seed.spawn(options.val)]
    pictures = list(zip(seeds, _file_names(options), strict=True))
    for seed, (image_name, label_name) in progress(pictures):
        image, label = draw_scene(seed, options.width, options.height)
        _write_png(folder / image_name, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        _write_png(folder / label_name, label)
    (folder / MANIFEST).write_text(json.dumps(_manifest(options), indent=2) + "\n", encoding="utf-8")


def _write_png(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded, data = cv2.imencode(".png", pixels)
    assert encoded, "PNG encodes every uint8 picture"
    path.write_bytes(data.tobytes())
