"""The four programs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

__all__ = ["main"]

_PROGRAMS = ("train", "val", "predict", "export")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``paddleseg train|val|predict|export …``; the same as the scripts of a checkout."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in _PROGRAMS:
        wanted = arguments[:1] in (["-h"], ["--help"])
        print(f"usage: paddleseg {{{','.join(_PROGRAMS)}}} …", file=sys.stdout if wanted else sys.stderr)
        return 0 if wanted else 2
    program = importlib.import_module(f"paddleseg.cli.{arguments[0]}")
    status: int = program.main(arguments[1:])
    return status
