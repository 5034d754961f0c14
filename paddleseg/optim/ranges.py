"""Ranges of the numbers in a config's ``optimizer`` and ``lr_scheduler`` blocks."""

from __future__ import annotations

import math

from paddleseg.errors import ConfigError

__all__ = ["check_number"]


def check_number(
    where: str, value: object, *, at_least: float = 0.0, above: float | None = None, below: float = math.inf
) -> None:
    """Refuses what is not a number in range.

    Args:
        where: Place in the config, for the message.
        value: What stands there.
        at_least: Lower end, included; not used where ``above`` is given.
        above: Lower end, not included.
        below: Upper end, not included.

    Raises:
        ConfigError: It is text, true or false, NaN, infinite or out of range.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        high_enough = value > above if above is not None else value >= at_least
        if high_enough and value < below:
            return
    low = f"at least {at_least:g}" if above is None else f"above {above:g}"
    high = "" if below == math.inf else f" and below {below:g}"
    raise ConfigError(f"{where}: got {value!r}; expected a number {low}{high}")
