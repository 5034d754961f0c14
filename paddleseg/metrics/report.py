"""All figures of an evaluation, from a confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from paddleseg.metrics.auc import mean_auc_roc
from paddleseg.metrics.boundary import boundary_iou
from paddleseg.metrics.ratios import mean_defined, ratio

__all__ = ["Report", "make_report"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Report:
    """The figures of an evaluation, shares from 0 to 1 (kappa from −1).

    What is undefined is NaN and takes no part in a mean: IoU and Dice of a class that occurs in no label and
    no prediction (as in cityscapesScripts), precision of a class that is never predicted, recall of one that
    no label holds.

    Attributes:
        miou: Mean IoU over the classes for which it is defined.
        accuracy: Share of the pixels whose class is right.
        kappa: Cohen's kappa.
        dice: Mean Dice coefficient.
        fw_iou: IoU averaged with the classes' pixel shares as weights.
        class_iou: Intersection over union, by class.
        class_precision: Right pixels among those predicted as the class.
        class_recall: Right pixels among those of the class.
        class_dice: Dice coefficient (F1), by class.
        class_names: One name a class.
        label_pixels: int64 labelled pixels by class.
        mean_boundary_iou: Mean boundary IoU; None when not measured.
        class_boundary_iou: Boundary IoU by class; None when not measured.
        auc_roc: Mean one-against-rest AUC; None when not measured.
    """

    miou: float
    accuracy: float
    kappa: float
    dice: float
    fw_iou: float
    class_iou: Floats
    class_precision: Floats
    class_recall: Floats
    class_dice: Floats
    class_names: tuple[str, ...]
    label_pixels: npt.NDArray[np.int64]
    mean_boundary_iou: float | None = None
    class_boundary_iou: Floats | None = None
    auc_roc: float | None = None

    @property
    def absent(self) -> tuple[str, ...]:
        """Names of the classes that occur neither in a label nor in a prediction."""
        return tuple(
            name for name, iou in zip(self.class_names, self.class_iou, strict=True) if math.isnan(iou)
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures as plain values ready for JSON: undefined ones are None."""
        figures: dict[str, Any] = {
            "miou": _plain(self.miou),
            "accuracy": _plain(self.accuracy),
            "kappa": _plain(self.kappa),
            "dice": _plain(self.dice),
            "fw_iou": _plain(self.fw_iou),
        }
        if self.mean_boundary_iou is not None:
            figures["boundary_iou"] = _plain(self.mean_boundary_iou)
        if self.auc_roc is not None:
            figures["auc_roc"] = _plain(self.auc_roc)
        figures["absent"] = list(self.absent)
        figures["classes"] = [
            {"name": name, **{key: _plain(values[c]) for key, values in self._columns().items()}}
            | {"label_pixels": int(self.label_pixels[c])}
            for c, name in enumerate(self.class_names)
        ]
        return figures

    def eval_line(self, images: int) -> str:
        """Writes the summary in PaddleSeg's form.

        Args:
            images: Number of images evaluated.

        Returns:
            ``[EVAL] #Images: … mIoU: … Acc: … Kappa: … Dice: …``, with ``Auc_roc: …`` when it was measured.
        """
        line = (
            f"[EVAL] #Images: {images} mIoU: {self.miou:.4f} Acc: {self.accuracy:.4f} "
            f"Kappa: {self.kappa:.4f} Dice: {self.dice:.4f}"
        )
        return line if self.auc_roc is None else f"{line} Auc_roc: {self.auc_roc:.4f}"

    def class_lines(self) -> list[str]:
        """Writes the per-class figures in PaddleSeg's form, and which classes were left out."""
        lines = [
            f"[EVAL] Class {title}: \n{np.round(values, 4)}"
            for title, values in (
                ("IoU", self.class_iou),
                ("Precision", self.class_precision),
                ("Recall", self.class_recall),
            )
        ]
        if self.absent:
            lines.append(f"[EVAL] Absent everywhere, left out of the means: {', '.join(self.absent)}")
        return lines

    def table(self) -> str:
        """Draws a table for people: a row a class, the means below, a dash for what is undefined."""
        columns = self._columns()
        means = {"iou": self.miou, "dice": self.dice, "boundary_iou": self.mean_boundary_iou}
        width = max(len("class"), *(len(name) for name in self.class_names))
        header = "  ".join([f"{'class':<{width}}", *(f"{title:>12}" for title in columns)])
        rows = [
            "  ".join([f"{name:<{width}}", *(_cell(values[c]) for values in columns.values())])
            for c, name in enumerate(self.class_names)
        ]
        last = "  ".join([f"{'mean':<{width}}", *(_cell(means.get(title)) for title in columns)])
        rule = "-" * len(header)
        return "\n".join(line.rstrip() for line in [header, rule, *rows, rule, last])

    def _columns(self) -> dict[str, Floats]:
        columns = {
            "iou": self.class_iou,
            "precision": self.class_precision,
            "recall": self.class_recall,
            "dice": self.class_dice,
        }
        if self.class_boundary_iou is not None:
            columns["boundary_iou"] = self.class_boundary_iou
        return columns


def make_report(
    matrix: npt.NDArray[np.int64],
    *,
    class_names: Sequence[str] | None = None,
    boundary: npt.NDArray[np.int64] | None = None,
    scores: npt.NDArray[np.int64] | None = None,
) -> Report:
    """Computes every figure.

    Args:
        matrix: Accumulated confusion matrix [C, C], rows true, columns predicted.
        class_names: C names; ``"class 0"`` … when None.
        boundary: Accumulated ``boundary_areas`` [2, C].
        scores: Accumulated ``score_histogram``, for the AUC.

    Returns:
        The report.

    Raises:
        ValueError: The matrix is not square, or there are not C names.
    """
    classes = len(matrix)
    names = tuple(class_names) if class_names is not None else tuple(f"class {c}" for c in range(classes))
    if matrix.shape != (classes, classes) or len(names) != classes:
        raise ValueError(f"expected a C×C matrix and C names, got {matrix.shape} and {len(names)} names")
    right, labelled, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    iou = ratio(right, labelled + predicted - right)
    dice = ratio(2 * right, labelled + predicted)
    by_boundary = None if boundary is None else boundary_iou(boundary)
    return Report(
        miou=mean_defined(iou),
        accuracy=float(ratio(right.sum(), matrix.sum())),
        kappa=_kappa(matrix),
        dice=mean_defined(dice),
        fw_iou=float(ratio(np.nansum(labelled * iou), labelled.sum())),
        class_iou=iou,
        class_precision=ratio(right, predicted),
        class_recall=ratio(right, labelled),
        class_dice=dice,
        class_names=names,
        label_pixels=labelled,
        mean_boundary_iou=None if by_boundary is None else mean_defined(by_boundary),
        class_boundary_iou=by_boundary,
        auc_roc=None if scores is None else mean_auc_roc(scores),
    )


def _kappa(matrix: npt.NDArray[np.int64]) -> float:
    """Agreement beyond what the class shares give by chance; NaN when chance alone agrees fully."""
    shares = ratio(matrix, np.full(matrix.shape, matrix.sum()))
    by_chance = float(shares.sum(axis=1) @ shares.sum(axis=0))
    return float(ratio(np.trace(shares) - by_chance, 1 - by_chance))


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _cell(value: float | None) -> str:
    if value is None:
        return " " * 12
    return f"{'-':>12}" if math.isnan(value) else f"{value:12.4f}"
