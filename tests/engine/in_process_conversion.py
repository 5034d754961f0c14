"""paddle2onnx in this process: tests of what can be converted need no process of their own for each model."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddleseg.engine import onnx_export


def convert_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the process in which ``write_onnx`` converts."""

    def convert(source: Path, target: Path) -> None:
        import paddle2onnx

        files = [f"{source}.json", f"{source}.pdiparams", str(target)]
        paddle2onnx.export(*files, opset_version=17, auto_upgrade_opset=False, optimize_tool="none")

    monkeypatch.setattr(onnx_export, "_convert", convert)
