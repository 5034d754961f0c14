"""Converts weights between .pdparams and .safetensors, for publishing and for other frameworks.

Example:
    python tools/convert_weights.py output/best_model/model.pdparams ccnet.safetensors
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from paddleseg.errors import OutputError, PaddleSegError, UsageError, WeightsError
from paddleseg.runtime import import_framework

__all__ = ["convert", "main"]

_FORMATS = (".pdparams", ".safetensors")


def convert(source: Path, target: Path, *, force: bool = False) -> str:
    """Copies the arrays of a weights file into one of another format.

    Args:
        source: Weights file, or the folder that holds it.
        target: ``.pdparams`` or ``.safetensors``, in which bfloat16 becomes float32.
        force: Replace a file that is there.

    Returns:
        One line: how many arrays, and the new file's SHA-256.

    Raises:
        PaddleSegError: The source cannot be read or holds other things than arrays, or the target cannot be
            written or is there already.
    """
    if target.suffix not in _FORMATS:
        raise UsageError(
            f"{target}: the name tells the format; expected it to end in {' or '.join(_FORMATS)}"
        )
    if target.exists() and not force:
        raise OutputError(f"{target}: is there already; choose another name, or give --force to replace it")
    import_framework()
    import numpy as np

    from paddleseg.models.download import file_sha256
    from paddleseg.models.weight_files import find_weights, read_state, save_weights

    found = find_weights(source)
    state = read_state(found)
    others = [name for name, value in state.items() if not isinstance(value, np.ndarray)]
    if others or not state:
        what = f"'{others[0]}' is a {type(state[others[0]]).__name__}" if others else "it is empty"
        raise WeightsError(f"{found}: expected named arrays only, as in model.pdparams; {what}")
    save_weights(state, target)
    numbers = sum(value.size for value in state.values())
    return f"{target}: {len(state)} arrays, {numbers:,} numbers, sha256 {file_sha256(target)}"


def main(arguments: list[str] | None = None) -> int:
    """Runs the tool.

    Args:
        arguments: Command line without the program's name; the process's own when omitted.

    Returns:
        Exit status: 0 when the file is written, 2 when it cannot be, 130 when interrupted.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="weights file, or the folder that holds it")
    parser.add_argument("target", type=Path, help="new file; its name ends in .pdparams or .safetensors")
    parser.add_argument("--force", action="store_true", help="replace the target if it is there")
    args = parser.parse_args(arguments)
    try:
        print(convert(args.source, args.target, force=args.force))
    except PaddleSegError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; no file was changed", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
