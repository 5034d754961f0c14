"""Predicts with an exported model: ``python deploy/python/infer.py --help``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import yaml

# Run from a checkout, the package lies two folders up.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from paddleseg import log, runtime
from paddleseg.cli.common import EXIT_FAILED, EXIT_OK, run_program, select_device
from paddleseg.cli.flags import Parser, positive_int
from paddleseg.cli.output import output_folder
from paddleseg.data.transforms import Compose, Sample
from paddleseg.engine.predictor import PredictionFolders, find_images, predict_images, preprocess
from paddleseg.errors import ConfigError, DataError
from paddleseg.inference import to_labels, undo_labels, undo_transforms
from paddleseg.registry import TRANSFORMS
from paddleseg.visualise import color_map

Labels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


class ExportedModel:
    """A model written by ``export.py``, run by Paddle Inference.

    Args:
        config: Path of deploy.yaml.
        device: Paddle's name of the device.
        threads: CPU threads.

    Raises:
        ConfigError: deploy.yaml or a file that it names is missing or damaged.
    """

    def __init__(self, config: str, *, device: str, threads: int) -> None:
        self.description = _read_description(Path(config))
        self._transforms = _make_transforms(config, self.description["transforms"])
        self._shape = list(self.description["input_shape"])
        self._predictor = _make_predictor(Path(config), self.description, device, threads)
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])

    @property
    def img_channels(self) -> int:
        """Channels that the model takes."""
        return int(self._shape[1])

    def label_of(self, image: Sample) -> Labels:
        """Class ids (H×W uint8, uint16 above 256 classes) of an image (pixels 0..255) at its own size.

        Raises:
            DataError: The model was exported for another size.
        """
        batch, undo = preprocess(image, self._transforms)
        if any(fixed not in (-1, n) for fixed, n in zip(self._shape, batch.shape, strict=True)):
            raise DataError(
                f"{image.image_path}: the transforms make it {list(batch.shape)}, but the model was exported "
                f"with --input_shape {' '.join(map(str, self._shape))}; add a Resize or Padding to that size "
                "to the transforms in deploy.yaml, or export with -1 for any size"
            )
        self._input.copy_from_cpu(batch)
        self._predictor.run()
        output = self._output.copy_to_cpu()
        if output.ndim == 3:  # the model ends in argmax: 1×H×W
            dtype = np.uint8 if output.max() < 256 else np.uint16
            return cast(Labels, undo_labels(output[0].astype(dtype), undo))
        return to_labels(undo_transforms(output, undo))


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description = yaml.safe_load(path.read_text(encoding="utf-8"))["Deploy"]
        missing = {"model", "params", "transforms", "input_shape"} - set(description)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError) as error:
        raise ConfigError(f"--config {path}: not a deploy.yaml of export.py ({error})") from error
    if missing:
        raise ConfigError(
            f"--config {path}: Deploy lacks {', '.join(sorted(missing))}; export the model again"
        )
    for key in ("model", "params"):
        if not (path.parent / description[key]).is_file():
            raise ConfigError(f"--config {path}: Deploy.{key}: no file {path.parent / description[key]}")
    return dict(description)


def _make_transforms(config: str, blocks: list[dict[str, Any]]) -> Compose:
    try:
        options = [dict(block) for block in blocks]
        return Compose([TRANSFORMS.get(one.pop("type"))(**one) for one in options])
    except (TypeError, ValueError, KeyError) as error:
        raise ConfigError(f"--config {config}: Deploy.transforms: {error}") from error


def _make_predictor(config: Path, description: dict[str, Any], device: str, threads: int) -> Any:
    from paddle import inference

    files = [str(config.parent / description[key]) for key in ("model", "params")]
    settings = inference.Config(*files)
    settings.disable_glog_info()
    if "gpu" in device:
        settings.enable_use_gpu(256, 0)
    else:
        settings.disable_gpu()
        settings.set_cpu_math_library_num_threads(threads)
        # In Paddle 3.3.1 the first fails on bilinear interpolation, the second crashes on Conv + LeakyReLU.
        for broken in ("onednn_placement_pass", "conv_activation_onednn_fuse_pass"):
            settings.delete_pass(broken)
    try:
        return inference.create_predictor(settings)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"--config {config}: Paddle cannot load the model: {error}") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program. Returns 0, 1 if an image failed, 2 for an error that the user can fix."""
    return run_program(_main, argv)


def _main(argv: Sequence[str]) -> int:
    parser = Parser(prog="infer.py", description="Predict images with an exported model.")
    parser.add_argument("--config", required=True, help="deploy.yaml written by export.py")
    parser.add_argument("--image_path", required=True, help="an image, a folder, a .txt list or a glob")
    parser.add_argument("--save_dir", default="./output", help="folder for the pictures")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument(
        "--cpu_threads", type=positive_int, default=None, help="default: the cores this process has"
    )
    args: argparse.Namespace = parser.parse_args(argv)
    settings = runtime.configure(threads=args.cpu_threads)
    runtime.import_framework()
    log.setup()
    device = select_device(args.device)
    model = ExportedModel(args.config, device=device, threads=settings.threads)
    images = find_images(args.image_path)
    with output_folder(args.save_dir) as save_dir:
        failed = predict_images(
            model.label_of,
            images,
            PredictionFolders(save_dir),
            img_channels=model.img_channels,
            palette=color_map(256, palette=model.description.get("palette")),
            progress=sys.stderr.isatty(),
        )
    log.get_logger(__name__).info(
        f"[DONE] {len(images) - len(failed)} of {len(images)} images; results in {args.save_dir}"
    )
    return EXIT_FAILED if failed else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
