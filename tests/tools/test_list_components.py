"""docs/components.md is current, and says what the components themselves say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import list_components as tool

from paddleseg import registry
from paddleseg.build import import_components
from paddleseg.optim import adam, constant_schedule
from paddleseg.registry import LOSSES, OPTIMIZERS

ROOT = Path(__file__).resolve().parents[2]
FIRST = "Something long; with a part.py and 1.5 (Author et al., 2020) in it."


@pytest.fixture(scope="module")
def document() -> str:
    return tool.render()


def test_the_document_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    status = tool.main(["--check"])
    assert status == 0, capsys.readouterr().out


def test_every_component_has_one_row_in_its_section(document: str) -> None:
    import_components()
    for table in ("MODELS", "BACKBONES", "DATASETS", "TRANSFORMS", "LOSSES", "OPTIMIZERS", "SCHEDULES"):
        heading, remark, _ = tool._SECTIONS[table]
        section = document.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        assert remark in section
        components = getattr(registry, table)
        own = [name for name in components if components.get(name).__module__.startswith("paddleseg.")]
        assert re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE) == own


def test_every_row_has_four_cells_with_what_they_need(document: str) -> None:
    rows = [line for line in document.splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    for row in rows:
        _, _, what, _, where, end = re.split(r"(?<!\\)\|", row)
        assert end == ""
        assert re.search(r"\w.*\.$", what.strip()), row
        if "The same as" not in what:
            (path,) = re.findall(r"\]\(\.\./([^)]+)\)", where)
            assert (ROOT / path).is_file(), row


def test_rows_by_hand(document: str) -> None:
    assert (
        "| `StepDecay` | Times `gamma` every `step_size` iterations. | `learning_rate`, `step_size`, "
        "`gamma: 0.1`, `warmup_iters: 0`, `warmup_start_lr: 0.0` | "
        "[optim/step_schedules.py](../paddleseg/optim/step_schedules.py) |"
    ) in document
    assert (
        "| `AdamW` | Adam with decoupled weight decay: w ← w·(1 − lr·decay), then Adam's step. | "
        "`beta1: 0.9`, `beta2: 0.999`, `epsilon: 1e-08`, `weight_decay: 0.01`, `lazy_mode: false`, "
        "`grad_clip_cfg: null`, `custom_cfg: null` | Loshchilov and Hutter, ICLR 2019, arXiv 1711.05101; "
        "[optim/decoupled.py](../paddleseg/optim/decoupled.py) |"
    ) in document
    assert "| `sgd` | The same as `Momentum`. | | |" in document


def test_what_a_plugin_registers_stays_out(document: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOSSES, "_components", dict(LOSSES._components))

    @LOSSES.register
    class Foreign:
        """Somebody's own."""

    assert tool.render() == document


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"{FIRST}\n\nMore.", FIRST),
        ("One line\nand the next. Another sentence.", "One line and the next."),
        ("Of Lin et al. (ICCV 2017). More.", "Of Lin et al. (ICCV 2017)."),
        ("Uses :class:`~a.b.Thing` and ``code``: |g| < 1.", "Uses `Thing` and `code`: \\|g\\| &lt; 1."),
        ("No full stop", "No full stop"),
        ("", ""),
    ],
)
def test_first_sentences(text: str, sentence: str) -> None:
    assert tool.first_sentence(text) == sentence


def make_component(docstring: str) -> type:
    return type("Component", (), {"__doc__": docstring, "__module__": "toy_module"})


@pytest.fixture
def toy_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Where made-up components are from."""
    module = ModuleType("toy_module", "")
    monkeypatch.setitem(sys.modules, "toy_module", module)
    return module


@pytest.mark.parametrize(
    ("docstring", "said"),
    [
        (
            "X.\n\nSource: Lin et al., ICCV 2017\n(arXiv 1708.02002).",
            "Lin et al., ICCV 2017 (arXiv 1708.02002)",
        ),
        ("X. The source: A's ``B``, which crashes; the method: C. More.", "A's `B`; the method: C"),
        ("X (Caesar et al., CVPR 2018).", "Caesar et al., CVPR 2018"),
        ("X (a remark) of Y (arXiv 1811.11721, section 4).", "arXiv 1811.11721, section 4"),
        ("X (2 or more).", ""),
    ],
)
@pytest.mark.usefixtures("toy_module")
def test_sources(docstring: str, said: str) -> None:
    assert tool.source(make_component(docstring)) == said


def test_a_module_may_tell_the_source(toy_module: ModuleType) -> None:
    component = make_component("X.")
    toy_module.__doc__ = "Names are PaddleSeg's\n(paddleseg/a/b.py)."
    assert tool.source(component) == "PaddleSeg, paddleseg/a/b.py"
    toy_module.__doc__ = "Y (Zhou et al., CVPR 2017)."
    assert tool.source(component) == "Zhou et al., CVPR 2017"


def test_parameters() -> None:
    def component(
        model: object, needed: int, size: tuple = (1, 2.5), *, sep: str = " ", on: bool = True, **rest: int
    ) -> None: ...

    assert tool.parameters(component, ("model",)) == "`needed`, `size: [1, 2.5]`, `sep: ' '`, `on: true`"
    assert "learning_rate" in tool.parameters(constant_schedule)
    assert OPTIMIZERS.get("Adam") is adam


def test_a_document_that_is_not_current(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "docs" / "components.md"
    assert tool.main(["--check", "--output", str(path)]) == 1
    assert "is not there; run: python tools/list_components.py --output" in capsys.readouterr().out
    assert tool.main(["--output", str(path)]) == 0
    assert re.search(r": \d+ components$", capsys.readouterr().out.strip())
    assert tool.main(["--check", "--output", str(path)]) == 0
    path.write_text(path.read_text("utf-8").replace("`gamma: 0.1`", "`gamma: 0.2`", 1), "utf-8")
    assert tool.main(["--check", "--output", str(path)]) == 1
    assert "is out of date, first at: | `" in capsys.readouterr().out


def test_errors_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"\xff")
    for arguments in (
        ["--output", str(tmp_path / "file" / "x.md")],
        ["--check", "--output", str(tmp_path / "file")],
    ):
        assert tool.main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {tmp_path / 'file'}")

    def interrupted() -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(tool, "render", interrupted)
    assert tool.main([]) == 130
    assert capsys.readouterr().err == "interrupted; no file was changed\n"


@pytest.mark.slow
def test_it_runs_as_a_program_from_anywhere(tmp_path: Path) -> None:
    command = [sys.executable, str(tool.__file__), "--output", str(tmp_path / "x.md")]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "x.md").read_text("utf-8") == tool.render()
