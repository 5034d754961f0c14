"""Keeps losses and gradients that are no numbers out of the weights."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import paddle
from paddle import Tensor, nn

from paddleseg import distributed
from paddleseg.engine.checkpoint import TrainState
from paddleseg.errors import DataError, OutputError
from paddleseg.files import write_whole
from paddleseg.log import get_logger

__all__ = ["Finding", "Policy", "StepGuard"]

Policy = Literal["stop", "skip", "lower_scale"]
_NAMES_SHOWN = 3
_logger = get_logger(__name__)


class Finding(enum.IntEnum):
    """What is not finite in a step. The largest one over all processes is what holds for all of them."""

    NOTHING = 0
    GRADIENTS = 1
    LOSS = 2


class StepGuard:
    """Looks at each step before the optimiser takes it, and says what happens to one that is not finite.

    A step in which only gradients overflow while a loss scale can still be lowered is part of training in
    float16: it is left out without a word, under any policy. For everything else there is a report in
    ``folder`` with what is needed to repeat the step, and then the policy: ``stop`` ends the run; ``skip``
    leaves the step out, and ends the run when that has happened ``limit`` times in a row; ``lower_scale`` is
    ``skip`` that begins to count where the scale cannot be lowered any more.

    Args:
        model: Network in training, as its parameters' names are to be in reports.
        policy: See above.
        folder: Where reports go.
        config_text: The configuration, kept beside the reports.
        limit: Steps left out in a row that are borne.
    """

    def __init__(
        self, model: nn.Layer, *, policy: Policy, folder: Path, config_text: str, limit: int = 10
    ) -> None:
        self._model = model
        self._policy = policy
        self._folder = folder
        self._config_text = config_text
        self._limit = limit
        self._statistics: list[tuple[Tensor, Tensor]] = []

    def remember(self, *, scaled: bool = False) -> None:
        """Copies what a forward pass changes (BN statistics): call it before that.

        Args:
            scaled: Whether there is a loss scale, so that steps may be left out under any policy.
        """
        if scaled or self._policy != "stop":
            with paddle.no_grad():
                self._statistics = [(one, one.detach().clone()) for one in _statistics(self._model)]

    @paddle.no_grad()
    def inspect(self, losses: Tensor, parameters: Sequence[Tensor]) -> Finding:
        """Looks for numbers that are not finite; reads back from the device once.

        Args:
            losses: Losses of the step's micro-batches, any shape.
            parameters: Those whose gradients count.

        Returns:
            What this process found.
        """
        # A sum is finite only if all its terms are, and needs no memory; it may overflow all the same.
        sums = [_sum(parameter.grad) for parameter in parameters if parameter.grad is not None]
        gradients = paddle.add_n(sums) if sums else paddle.zeros([])
        loss_sum, gradient_sum = paddle.stack([_sum(losses), gradients]).tolist()
        if not math.isfinite(loss_sum) and not _all_finite(losses):
            return Finding.LOSS
        if math.isfinite(gradient_sum) or all(_all_finite(p.grad) for p in parameters if p.grad is not None):
            return Finding.NOTHING
        return Finding.GRADIENTS

    def rejected(
        self,
        finding: Finding,
        *,
        state: TrainState,
        losses: Mapping[str, float],
        paths: Sequence[str],
        label_range: tuple[int, int],
        learning_rate: float,
        last_checkpoint: Path | None,
        scale: float | None = None,
    ) -> None:
        """Deals with a step that must not go into the weights. The gradients must still be there.

        Args:
            finding: The largest over all processes.
            state: Counters; ``iteration`` counts the steps before this one. ``skipped_steps`` goes up, and
                ``rejected_in_a_row``, which whoever changes the weights sets to 0.
            losses: This process's total (``loss``) and its parts.
            paths: Files of this process's batch.
            label_range: Least and greatest class id in it, without the ignored one.
            learning_rate: Of this step.
            last_checkpoint: The newest one that can be resumed.
            scale: Loss scale that can be lowered; None without one.

        Raises:
            DataError: The run ends here.
        """
        can_be_lowered = scale is not None and scale > 1
        if finding is Finding.GRADIENTS and can_be_lowered:
            self._leave_out(state)
            return
        iteration, parameters = state.iteration + 1, self._not_finite()
        what = _describe(losses, parameters)
        report = self._write_report(
            iteration,
            {
                "iteration": iteration,
                "seed": state.seed,
                "losses": {name: _json_number(value) for name, value in losses.items()},
                "parameters_with_bad_gradients": parameters,
                "learning_rate": learning_rate,
                "loss_scale": scale,
                "files": list(paths),
                "label_range": list(label_range),
                "last_checkpoint": None if last_checkpoint is None else str(last_checkpoint),
            },
        )
        if self._policy == "skip" or not can_be_lowered:
            state.rejected_in_a_row += 1
        if self._policy == "stop" or state.rejected_in_a_row > self._limit:
            again = f", {state.rejected_in_a_row} steps in a row" if self._policy != "stop" else ""
            raise DataError(
                f"iteration {iteration}: {what}{again}; lower the learning rate (now {learning_rate:.3g}), "
                f"add warm-up or grad_clip_cfg, or look at the batch's files: {report}; "
                f"last good checkpoint: {last_checkpoint or 'none yet'}"
            )
        _logger.warning(f"iteration {iteration} is left out: {what}; {report}")
        self._leave_out(state)

    def _leave_out(self, state: TrainState) -> None:
        state.skipped_steps += 1
        for one, copy in self._statistics:
            paddle.assign(copy, output=one)

    def _not_finite(self) -> list[str]:
        return [
            name
            for name, parameter in self._model.named_parameters()
            if parameter.grad is not None and not _all_finite(parameter.grad)
        ]

    def _write_report(self, iteration: int, content: Mapping[str, object]) -> str:
        """Returns where the report is, or why there is none: that must not hide what happened."""
        path = self._folder / f"iter_{iteration}_rank_{distributed.rank()}.json"
        try:
            write_whole(path, json.dumps(content, indent=2, ensure_ascii=False).encode())
            write_whole(self._folder / "config.yml", self._config_text.encode())
        except OutputError as error:
            return f"no report ({error})"
        return f"report in {path}"


def _statistics(model: nn.Layer) -> list[Tensor]:
    """Buffers, and what Paddle's normalisation layers keep as 1-D parameters that are not trained."""
    vectors = [one for one in model.parameters() if one.stop_gradient and one.ndim <= 1]
    return [*vectors, *model.buffers()]


def _sum(tensor: Tensor) -> Tensor:
    return tensor.sum(dtype="float32")


def _all_finite(tensor: Tensor) -> bool:
    return bool(paddle.isfinite(tensor).all())


def _describe(losses: Mapping[str, float], parameters: Sequence[str]) -> str:
    """What this process saw, which may be less than another one."""
    values = ", ".join(f"{name}: {value:.4g}" for name, value in losses.items())
    if not all(map(math.isfinite, losses.values())):
        return f"the loss is not finite ({values})"
    if parameters:
        shown = ", ".join(parameters[:_NAMES_SHOWN]) + (", …" if len(parameters) > _NAMES_SHOWN else "")
        return f"the gradients of {len(parameters)} parameters are not finite ({shown}); {values}"
    return f"the loss or a gradient of another process is not finite; here {values}"


def _json_number(value: float) -> float | str:
    """JSON has no NaN."""
    return value if math.isfinite(value) else str(value)
