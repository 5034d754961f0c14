"""Optimisers and learning-rate schedules. Importing this package registers them all.

Three of Paddle's optimisers are left out, as they need the same batches again and again, which random
crops never are: ASGD keeps a gradient of each batch of a fixed division of the data, Rprop compares gradients
of the whole data set, and LBFGS evaluates the loss several times a step.
"""

from paddleseg.optim.adam import adam, adamax, nadam, radam
from paddleseg.optim.adaptive import adadelta, adagrad, rmsprop
from paddleseg.optim.decoupled import adamw, lamb, lars
from paddleseg.optim.one_cycle import one_cycle_schedule
from paddleseg.optim.optimizers import momentum_sgd, plain_or_momentum_sgd
from paddleseg.optim.plateau import ReduceOnPlateau
from paddleseg.optim.schedules import constant_schedule, cosine_schedule, polynomial_schedule
from paddleseg.optim.step_schedules import (
    exponential_schedule,
    multi_step_schedule,
    piecewise_schedule,
    step_schedule,
)
from paddleseg.optim.warmup import Schedule

__all__ = [
    "ReduceOnPlateau",
    "Schedule",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "constant_schedule",
    "cosine_schedule",
    "exponential_schedule",
    "lamb",
    "lars",
    "momentum_sgd",
    "multi_step_schedule",
    "nadam",
    "one_cycle_schedule",
    "piecewise_schedule",
    "plain_or_momentum_sgd",
    "polynomial_schedule",
    "radam",
    "rmsprop",
    "step_schedule",
]
