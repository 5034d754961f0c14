"""Activation recomputation (arXiv 1604.06174): a block keeps its input only and runs again in backward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import paddle
from paddle import nn
from paddle.distributed.fleet.utils import recompute as run_again_in_backward

from paddleseg.models.layers.batch_norms import batch_norms

__all__ = ["Recomputable"]


class Recomputable(nn.Layer):
    """A layer that can trade time for memory: it passes its large blocks through :meth:`run_block`.

    Outputs, gradients, running statistics and the random numbers drawn later are bit for bit those without
    recomputation. It acts in training only, and not under ``to_static``.

    Attributes:
        recompute: Whether blocks run a second time in backward instead of keeping their activations.
    """

    recompute: bool = False

    def run_block(self, block: nn.Layer, x: paddle.Tensor) -> paddle.Tensor:
        """Returns ``block(x)``.

        Args:
            block: A sublayer with one input and one output, any number of times.
            x: Its input.
        """
        # Paddle's function has nothing to do, and says so each time, where no gradient reaches the input.
        if not (self.recompute and self.training) or x.stop_gradient:
            return block(x)
        return _recomputed(block, x)


def _recomputed(block: nn.Layer, x: paddle.Tensor) -> paddle.Tensor:
    """Paddle's recomputation, without a second update of the running statistics."""
    has_run = False

    def run(value: paddle.Tensor) -> paddle.Tensor:
        nonlocal has_run
        if not has_run:
            has_run = True
            return block(value)
        with _statistics_kept(block):
            return block(value)

    # Not the re-entrant kind: its backward within a backward would add to a parameter that two blocks share
    # in two parts, of which DataParallel would average the first alone.
    return run_again_in_backward(run, x, use_reentrant=False)


@contextmanager
def _statistics_kept(block: nn.Layer) -> Iterator[None]:
    """Batch norms in training leave their running statistics as they are: momentum 1 is all of the old."""
    norms = batch_norms(block)
    momenta = [norm._momentum for norm in norms]
    for norm in norms:
        norm._momentum = 1.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm._momentum = momentum
