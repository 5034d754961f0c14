"""Predicts with an exported model: ``python deploy/python/infer.py --help``."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

# Run from a checkout, the packages lie two folders up.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deploy.python import flags
from deploy.python.description import DeployDescription, read_description
from deploy.python.engines import make_engine
from deploy.python.engines.base import Floats
from deploy.python.exported_model import ExportedModel, Prepared
from deploy.python.film import open_film, predict_video, refuse_overwriting_video
from deploy.python.images import first_inputs, predict_files, refuse_overwriting
from deploy.python.stopwatch import Stopwatch
from deploy.python.video import is_video, open_video
from paddleseg import log, runtime
from paddleseg.cli.common import EXIT_FAILED, EXIT_OK, refuse_launcher, run_program
from paddleseg.cli.flags import refuse
from paddleseg.cli.output import output_folder
from paddleseg.data.transforms import resizes
from paddleseg.engine.predictor import PredictionFolders, find_images
from paddleseg.errors import DataError
from paddleseg.visualise import color_map

__all__ = ["main"]

_WARM_UP_RUNS = 3
_TUNING_IMAGES = 10
_logger = log.get_logger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program. Returns its exit status: 0, 1 if an image failed, 2 for an error, 130 for Ctrl-C."""
    return run_program(_main, argv)


def _main(argv: Sequence[str]) -> int:
    args = flags.parse(argv)
    refuse_launcher("infer.py")
    film_output = sys.stdout
    with contextlib.ExitStack() as stack:
        if args.video_out == "-":  # the standard output is the film, so the log goes beside it
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        log.setup()
        description = read_description(Path(args.config))
        run = _Run(args, description)
        return run.video(film_output.buffer) if is_video(args.image_path) else run.images()


class _Run:
    """What images and video share."""

    def __init__(self, args: argparse.Namespace, description: DeployDescription) -> None:
        self._args, self._description = args, description
        self._options = flags.inference_of(args)
        self._palette = color_map(256, args.custom_color, palette=description.palette)
        # For Paddle, before it is imported; in a process that has it already the flag counts all the same.
        settings = runtime.configure(threads=args.cpu_threads)
        self._threads = args.cpu_threads or settings.threads
        self._stopwatch = Stopwatch()

    def images(self) -> int:
        args = self._args
        refuse(args.video_out is not None, "--video_out", "--image_path is no video; leave it out")
        refuse(args.label_frames, "--label_frames True", "images get their class ids anyway; leave it out")
        files = find_images(args.image_path)
        folders = PredictionFolders(Path(args.save_dir))
        refuse_overwriting(files, folders)
        count = (
            _TUNING_IMAGES if args.enable_auto_tune else 1 if args.engine == "auto" or args.benchmark else 0
        )
        inputs = first_inputs(self._description, files, count=count)
        model = self._load(inputs)
        self._warm_up(model, inputs)
        with output_folder(args.save_dir):
            failed = predict_files(
                model,
                files,
                folders,
                batch_size=args.batch_size,
                palette=self._palette,
                progress=sys.stderr.isatty(),
                stopwatch=self._stopwatch,
            )
        self._report(model)
        _logger.info(f"[DONE] {len(files) - len(failed)} of {len(files)} images; results in {args.save_dir}")
        return EXIT_FAILED if failed else EXIT_OK

    def video(self, output: IO[bytes]) -> int:
        args = self._args
        with open_video(args.image_path) as video, contextlib.ExitStack() as stack:
            target = args.video_out or str(Path(args.save_dir) / f"{video.stem}.mp4")
            refuse_overwriting_video(args.image_path, target)
            model = self._load([])
            if args.video_out is None or args.label_frames:
                stack.enter_context(output_folder(args.save_dir))
            film = stack.enter_context(open_film(target, rate=video.rate, output=output))
            labels = Path(args.save_dir) / "label" / video.stem if args.label_frames else None
            count = predict_video(
                model,
                video,
                film,
                palette=self._palette,
                batch_size=args.batch_size,
                label_folder=labels,
                progress=sys.stderr.isatty(),
                stopwatch=self._stopwatch,
            )
        self._report(model)
        _logger.info(f"[DONE] {count} frames at {video.rate:g} a second; the film is {target}")
        return EXIT_OK

    def _load(self, inputs: Sequence[Floats]) -> ExportedModel:
        args = self._args
        engine = make_engine(
            self._description,
            engine=args.engine,
            device=args.device,
            threads=self._threads,
            precision=args.precision,
            paddle=flags.paddle_of(args),
            samples=inputs,
        )
        model = ExportedModel(self._description, engine, options=self._options)
        if self._description.output_op == "argmax" and resizes(self._description.transforms):
            _logger.info(
                "the images are resized and the model gives class ids, which can only be brought back to the "
                "nearest pixel: along borders they differ from predict.py's; export with --output_op none "
                "for the same"
            )
        _logger.info(f"[RUN] engine: {engine.name} in {args.precision}; CPU threads: {self._threads}")
        return model

    def _warm_up(self, model: ExportedModel, inputs: Sequence[Floats]) -> None:
        if self._args.benchmark and inputs:
            # An image that the model cannot take is reported when its turn comes.
            with contextlib.suppress(DataError, MemoryError):
                for _ in range(_WARM_UP_RUNS):
                    model.run([Prepared(inputs[0], [])] * self._args.batch_size)
        self._stopwatch.restart()

    def _report(self, model: ExportedModel) -> None:
        if not self._args.benchmark:
            return
        args = self._args
        facts = (
            f"model_name: {args.model_name or '-'}, engine: {model.engine.name}, "
            f"precision: {args.precision}, device: {args.device}, "
            f"cpu_threads: {self._threads}, batch_size: {args.batch_size}"
        )
        for line in (facts, *self._stopwatch.report()):
            _logger.info(f"[BENCHMARK] {line}")


if __name__ == "__main__":
    sys.exit(main())
