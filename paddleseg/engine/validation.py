"""The evaluation that belongs to a training run."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from paddle import nn

from paddleseg.config.config import Config
from paddleseg.data.datasets.base import SegmentationDataset
from paddleseg.data.loader import EvalItem
from paddleseg.engine.evaluator import Evaluation, ImageResult, Labels, evaluate
from paddleseg.engine.group import Group
from paddleseg.engine.interrupts import Interrupts
from paddleseg.engine.options import inference_options
from paddleseg.engine.writers import MetricWriter, PictureWriter
from paddleseg.log import get_logger
from paddleseg.visualise import color_map, side_by_side

__all__ = ["Validation"]

_PICTURES = 4
_logger = get_logger(__name__)


class Validation:
    """Evaluates the model in training, logs the figures and draws the first images.

    Args:
        config: Checked configuration.
        model: Network in training.
        dataset: The validation set.
        writers: Those that take pictures get some.
        num_workers: Processes that read images; 0 reads in a thread of this one, where the data set's
            transforms run then too.
        group: The processes that share the images among them.
        interrupts: Where signals are told.

    Raises:
        EvaluationStopped: When called: a signal asks the run to end.
    """

    def __init__(
        self,
        config: Config,
        model: nn.Layer,
        dataset: SegmentationDataset,
        writers: Sequence[MetricWriter],
        num_workers: int,
        group: Group,
        interrupts: Interrupts,
    ) -> None:
        self._options = inference_options(config.settings.test_config, augment_key="aug_eval")
        self._model = model
        self._dataset = dataset
        self._writers = [writer for writer in writers if isinstance(writer, PictureWriter)]
        self._num_workers = num_workers
        self._worker_timeout = config.settings.worker_timeout
        self._group = group
        self._interrupts = interrupts
        self._palette = color_map(256, palette=dataset.palette)

    def __call__(self, iteration: int) -> Evaluation:
        _logger.info(f"[EVAL] Start evaluating {len(self._dataset)} images at iter {iteration}")

        def draw(item: EvalItem, prediction: Labels, _: ImageResult) -> None:
            if item.index < _PICTURES * self._group.size:  # this process has every size-th image
                image = self._dataset.load(item.index).image.astype(np.uint8)
                picture = side_by_side(image, item.label, prediction, self._palette)
                for writer in self._writers:
                    writer.picture(f"Evaluate/{item.index}", picture, iteration)

        evaluation = evaluate(
            self._model,
            self._dataset,
            options=self._options,
            num_workers=self._num_workers,
            worker_timeout=self._worker_timeout,
            group=self._group,
            should_stop=lambda: self._interrupts.signal is not None,
            progress=sys.stderr.isatty(),
            on_image=draw if self._writers else None,
        )
        _logger.info(evaluation.report.eval_line(len(evaluation.images)))
        for line in evaluation.report.class_lines():
            _logger.info(line)
        return evaluation
