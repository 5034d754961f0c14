"""A copy of the TIPC scripts beside an interpreter that only writes down what it is asked to run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PARAMETERS", "ROOT", "Workspace", "make_workspace"]

ROOT = Path(__file__).resolve().parents[2]
PARAMETERS = ROOT / "test_tipc/configs/ccnet/train_infer_python.txt"

# A probe (program on standard input) gets the number of GPUs; a program fails when the word in `fail` is in
# its command line; with that in `interrupt` it does what Ctrl-C does, and ends as Python would.
_FAKE_PYTHON = """#!/usr/bin/env bash
case "$1" in
    -) cat >/dev/null; cat "$FAKE/gpus" ;;
    -c) [[ ! -f "$FAKE/lacks_packages" ]] ;;
    --version) echo Python 3.11.0 ;;
    *)
        echo "${CUDA_VISIBLE_DEVICES:-all} $*" >>"$FAKE/commands"
        echo "output of $1"
        if [[ -f "$FAKE/interrupt" && "$*" == *"$(cat "$FAKE/interrupt")"* ]]; then
            trap '' INT
            kill -INT 0
            exit 130
        fi
        if [[ -f "$FAKE/fail" && "$*" == *"$(cat "$FAKE/fail")"* ]]; then exit "$(cat "$FAKE/status")"; fi
        ;;
esac
"""


@dataclass(frozen=True)
class Workspace:
    """A checkout with nothing but the scripts.

    Attributes:
        root: Its folder.
        parameters: The parameter file, which names the fake interpreter.
    """

    root: Path
    parameters: Path

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a script from another folder."""
        environment = {**os.environ, "FAKE": str(self.root / "fake")}
        environment.pop("CUDA_VISIBLE_DEVICES", None)
        command = ["bash", str(self.root / "test_tipc" / script), *arguments]
        return subprocess.run(
            command,
            cwd=self.root / "fake",
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            start_new_session=True,
            preexec_fn=_accept_interrupts,
        )

    def chain(self, mode: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the test script with the parameter file."""
        return self.run("test_train_inference_python.sh", str(self.parameters), mode, *arguments)

    def set_gpus(self, count: int) -> None:
        """What the probe of the interpreter says."""
        (self.root / "fake/gpus").write_text(f"{count}\n")

    def fail_on(self, word: str, status: int = 1) -> None:
        """Makes commands with the word fail."""
        (self.root / "fake/fail").write_text(word)
        (self.root / "fake/status").write_text(str(status))

    def interrupt_at(self, word: str) -> None:
        """Presses Ctrl-C while a command with the word runs."""
        (self.root / "fake/interrupt").write_text(word)

    def set_line(self, number: int, text: str) -> None:
        """Changes a line of the parameter file, counted from 1."""
        lines = self.parameters.read_text().splitlines()
        lines[number - 1] = text
        self.parameters.write_text("\n".join(lines) + "\n")

    def drop_extra(self) -> None:
        """Leaves what PaddleSeg's files have, too."""
        text = self.parameters.read_text()
        self.parameters.write_text(text[: text.index("===========================extra_params")])

    def drop_formats(self) -> None:
        """Exports to Paddle's format alone."""
        self.parameters.write_text(self.parameters.read_text().replace(" --format all", ""))

    @property
    def commands(self) -> list[str]:
        """What was run: the visible GPUs and the command line without the interpreter."""
        file = self.root / "fake/commands"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def results(self) -> list[str]:
        """The lines of results_python.log."""
        return (self.root / "test_tipc/output/ccnet/results_python.log").read_text().splitlines()


def _accept_interrupts() -> None:
    """As in a terminal; a shell's background jobs, such as this test run may be, ignore them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def make_workspace(root: Path) -> Workspace:
    """Copies scripts and parameter file into a folder, and names the fake interpreter there."""
    (root / "test_tipc").mkdir()
    (root / "fake").mkdir()
    for script in (ROOT / "test_tipc").glob("*.sh"):
        shutil.copy(script, root / "test_tipc")
    python = root / "fake/python"
    python.write_text(_FAKE_PYTHON)
    python.chmod(0o755)
    workspace = Workspace(root, root / "parameters.txt")
    shutil.copy(PARAMETERS, workspace.parameters)
    workspace.set_line(3, f"python:{python}")
    workspace.set_gpus(0)
    return workspace
