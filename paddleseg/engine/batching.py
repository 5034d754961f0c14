"""How many images an update of the weights sees, and what to do when a recipe was made for another number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from paddleseg.errors import ConfigError

__all__ = ["BatchPlan", "plan_batch"]


@dataclass(frozen=True)
class BatchPlan:
    """How the images of an iteration are spread.

    Attributes:
        batch_size: Images that a process puts through the network at a time.
        world_size: Processes.
        accumulate: Batches that a process adds up before it updates the weights.
        wanted: ``global_batch_size`` of the config; None where it does not say.
    """

    batch_size: int
    world_size: int
    accumulate: int
    wanted: int | None = None

    @property
    def global_batch(self) -> int:
        """Images an iteration, over all processes."""
        return self.batch_size * self.world_size * self.accumulate

    def describe(self) -> str:
        """Returns one line for the log."""
        return (
            f"{self.global_batch} images an iteration: batch_size {self.batch_size} × "
            f"processes {self.world_size} × accumulate {self.accumulate}"
        )

    def advice(self, learning_rate: float | None) -> str | None:
        """Says what to do where the iteration is not the one that the recipe was made for.

        Args:
            learning_rate: The config's; None where it names several, or by other names.

        Returns:
            A sentence with the learning rate of linear scaling (arXiv 1706.02677, section 2.1); None where
            all is well or the config does not say.
        """
        if self.wanted is None or self.wanted == self.global_batch:
            return None
        factor = self.global_batch / self.wanted
        if learning_rate is None:
            change = f"multiply every learning rate of the schedule by {factor:g}"
        else:
            scaled = learning_rate * factor
            change = (
                f"change the learning rate from {learning_rate:g} to {scaled:g} (--learning_rate {scaled:g})"
            )
        fits = self.wanted % (self.batch_size * self.world_size) == 0
        keep = "; --accumulate auto keeps the batch" if fits else ""
        return (
            f"the config's recipe has a global batch of {self.wanted} (global_batch_size), this run has "
            f"{self.describe()}; linear scaling would {change}{keep}"
        )


def plan_batch(
    *, batch_size: int, world_size: int, accumulate: int | Literal["auto"], wanted: int | None
) -> BatchPlan:
    """Resolves ``accumulate: auto``.

    Args:
        batch_size: Images a process and batch.
        world_size: Processes.
        accumulate: Batches an iteration; ``"auto"``: as many as ``wanted`` takes.
        wanted: ``global_batch_size`` of the config.

    Raises:
        ConfigError: No number of batches gives ``wanted``.
    """
    if accumulate != "auto":
        return BatchPlan(batch_size, world_size, accumulate, wanted)
    assert wanted is not None, "checked with the config's structure"
    if wanted % (batch_size * world_size):
        raise ConfigError(
            f"accumulate: auto cannot make global_batch_size {wanted} out of batch_size {batch_size} × "
            f"{world_size} processes; choose a batch_size that divides {wanted / world_size:g}"
        )
    return BatchPlan(batch_size, world_size, wanted // (batch_size * world_size), wanted)
