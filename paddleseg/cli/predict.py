"""``predict.py``: predicts images and writes label, coloured and overlaid pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from paddleseg import log
from paddleseg.cli.common import (
    EXIT_FAILED,
    EXIT_OK,
    load_model,
    read_checked_config,
    refuse_launcher,
    run_program,
    start,
)
from paddleseg.cli.flags import (
    Parser,
    add_common_flags,
    add_inference_flags,
    add_weights_flags,
    inference_settings,
    non_empty,
    non_negative_int,
    refuse_common,
)
from paddleseg.cli.output import output_folder

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program. Returns its exit status: 0, 1 if an image failed, 2 for an error, 130 for Ctrl-C."""
    return run_program(_main, argv)


def _main(argv: Sequence[str]) -> int:
    args = _parse(argv)
    refuse_common(args)
    refuse_launcher("predict.py")
    settings, device = start(args)
    flags = inference_settings(args, augment="aug_pred") | {"test_config.custom_color": args.custom_color}
    config = read_checked_config(args, required=("model",), parts=("model",), flags=flags)
    from paddleseg.build import build_transforms, dataset_facts
    from paddleseg.config.consistency import input_channels
    from paddleseg.config.record import write_run_record
    from paddleseg.data.transforms import Compose
    from paddleseg.engine.model_function import as_predict
    from paddleseg.engine.options import inference_options
    from paddleseg.engine.predictor import (
        PredictionFolders,
        find_images,
        label_of_prepared,
        predict_images,
        prepare_image,
    )
    from paddleseg.visualise import color_map

    logger = log.get_logger(__name__)
    logger.info(f"[RUN] device: {device}; {settings.describe()}")
    images = find_images(args.image_path)
    test_config = config.settings.test_config
    palette = color_map(256, test_config.custom_color, palette=dataset_facts(config)[1])
    model = load_model(config, args)
    model.eval()
    options = inference_options(test_config, augment_key="aug_pred")
    transforms = Compose(build_transforms(config, "val_dataset"))
    with output_folder(args.save_dir) as save_dir:
        write_run_record(
            config, save_dir, None, ["predict.py", *argv], program="predict", settings=asdict(settings)
        )
        folders = PredictionFolders(save_dir)
        failed = predict_images(
            partial(label_of_prepared, predict=as_predict(model), options=options),
            images,
            folders,
            img_channels=input_channels(config),
            palette=palette,
            progress=sys.stderr.isatty(),
            prepare=partial(prepare_image, transforms=transforms, options=options),
        )
    logger.info(
        f"[DONE] {len(images) - len(failed)} of {len(images)} images; results in {folders.label}, "
        f"{folders.pseudo_color} and {folders.added}"
    )
    return EXIT_FAILED if failed else EXIT_OK


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="predict.py", description="Predict images with a trained model.")
    add_common_flags(parser)
    add_weights_flags(parser)
    add_inference_flags(parser, augment="aug_pred")
    parser.add_argument(
        "--image_path", type=non_empty, required=True, help="an image, a folder, a .txt list or a glob"
    )
    parser.add_argument(
        "--save_dir", type=non_empty, default="./output/result", help="folder for the pictures"
    )
    parser.add_argument("--device_id", type=non_negative_int, default=0, help="which GPU")
    parser.add_argument(
        "--custom_color", nargs="+", type=int, default=None, help="red green blue of class 0, of class 1, …"
    )
    return parser.parse(argv)
