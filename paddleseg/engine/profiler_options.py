"""``--profiler_options``, in PaddleSeg's syntax. Imports no Paddle, so that its errors show at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from paddleseg.errors import UsageError, did_you_mean

__all__ = ["ProfilerOptions", "parse_profiler_options"]

_EXAMPLE = "batch_range=[10,20];state=CPU;sorted_key=total;profile_path=profile"


@dataclass(frozen=True)
class ProfilerOptions:
    """What to profile, with the defaults of PaddleSeg's ``utils/train_profiler.py`` but for ``timer_only``.

    Attributes:
        batch_range: First iteration and the one after the last, counted from 0 at the start of this process.
        state: What to trace: ``CPU``, ``GPU`` or ``All``, which means what this device has.
        sorted_key: Order of the operators in the summary: ``total``, ``max``, ``min`` or ``ave`` time.
        tracer_option: ``Default``; ``OpDetail`` shows the parts of each operator in the summary,
            ``AllOpDetail`` records the shapes of their inputs as well.
        profile_path: Folder of the trace; None for ``profiler/`` in the run's folder.
        exit_on_finished: Whether the run ends after the last of these iterations.
        timer_only: Whether to measure the pace only, without a trace. PaddleSeg's default is yes, which
            leaves the options above without a meaning.
    """

    batch_range: tuple[int, int] = (10, 20)
    state: str = "All"
    sorted_key: str = "total"
    tracer_option: str = "Default"
    profile_path: str | None = None
    exit_on_finished: bool = True
    timer_only: bool = False


def parse_profiler_options(text: str) -> ProfilerOptions:
    """Reads ``key=value`` pairs between semicolons; spaces around them do not count.

    Raises:
        UsageError: A key is unknown or comes twice, or a value is none of those that are possible.
    """
    values: dict[str, Any] = {}
    for pair in filter(None, (part.strip() for part in text.split(";"))):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals:
            raise _error(f"'{pair}' has no '='")
        if key not in _PARSERS:
            raise _error(f"no option '{key}'{did_you_mean(key, _PARSERS) or _list(_PARSERS)}")
        if key in values:
            raise _error(f"'{key}' comes twice")
        values[key] = _PARSERS[key](key, value)
    return ProfilerOptions(**values)


def _batch_range(key: str, value: str) -> tuple[int, int]:
    match = re.fullmatch(r"\[\s*(\d{1,9})\s*,\s*(\d{1,9})\s*\]", value, re.ASCII)
    if match is None or int(match[1]) >= int(match[2]):
        raise _error(f"{key}={value}: expected [first,end] with 0 <= first < end")
    return int(match[1]), int(match[2])


def _choice(*choices: str) -> Callable[[str, str], str]:
    def parse(key: str, value: str) -> str:
        if value not in choices:
            raise _error(f"{key}={value}{did_you_mean(value, choices) or _list(choices)}")
        return value

    return parse


def _boolean(key: str, value: str) -> bool:
    # PaddleSeg's words for true, and their opposites.
    words = dict.fromkeys(("yes", "true", "t", "1"), True) | dict.fromkeys(("no", "false", "f", "0"), False)
    if value.lower() not in words:
        raise _error(f"{key}={value}: expected True or False")
    return words[value.lower()]


def _path(key: str, value: str) -> str:
    if not value:
        raise _error(f"{key}=: expected a folder")
    return value


_PARSERS: Mapping[str, Callable[[str, str], Any]] = {
    "batch_range": _batch_range,
    "state": _choice("CPU", "GPU", "All"),
    "sorted_key": _choice("total", "max", "min", "ave"),
    "tracer_option": _choice("Default", "OpDetail", "AllOpDetail"),
    "profile_path": _path,
    "exit_on_finished": _boolean,
    "timer_only": _boolean,
}


def _list(names: Mapping[str, Any] | tuple[str, ...]) -> str:
    return f": expected one of {', '.join(names)}"


def _error(problem: str) -> UsageError:
    return UsageError(f'--profiler_options: {problem}; for example "{_EXAMPLE}"')
