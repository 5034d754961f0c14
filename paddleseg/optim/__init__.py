"""Optimisers and learning-rate schedules. Importing this package registers them all."""

from paddleseg.optim.optimizers import adamw, momentum_sgd, plain_or_momentum_sgd
from paddleseg.optim.schedules import Schedule

__all__ = ["Schedule", "adamw", "momentum_sgd", "plain_or_momentum_sgd"]
