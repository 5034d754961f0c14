"""docs/tools.md: both languages show the same, and the tools have the flags that it names."""

from __future__ import annotations

import importlib
import re
import shlex
import sys

import pytest
from documents import ROOT, blocks, commands

sys.path.insert(0, str(ROOT / "tools"))

ENGLISH, CHINESE = ((ROOT / "docs" / name).read_text("utf-8") for name in ("tools.md", "tools_CN.md"))


def test_both_languages_show_the_same() -> None:
    assert blocks(ENGLISH, "bash") == blocks(CHINESE, "bash")
    assert _outputs(ENGLISH) == _outputs(CHINESE)
    assert _names(ENGLISH) == _names(CHINESE)


def _names(text: str) -> set[str]:
    """Headings, and what stands between backquotes in prose; names in <> are translated."""
    prose = "".join(text.split("```")[::2])
    return {
        *re.findall(r"`([^`<]+)`", re.sub(r"`[^`]*<[^`]*`", "", prose)),
        *re.findall(r"^#+ \w+\.py", prose, re.M),
    }


def _outputs(text: str) -> list[str]:
    return text.split("```")[3::4]  # after each command


@pytest.mark.parametrize("command", commands(ENGLISH))
def test_the_tools_have_the_flags(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    program, path, *arguments = shlex.split(command)
    assert (program, (ROOT / path).is_file()) == ("python", True)
    with pytest.raises(SystemExit):
        importlib.import_module(path.removeprefix("tools/").removesuffix(".py")).main(["--help"])
    shown = capsys.readouterr().out
    assert all(one in shown for one in arguments if one.startswith("--"))
    section = ENGLISH.split(f"### {path.removeprefix('tools/')}")[1].split("\n### ")[0]
    named = set(re.findall(r"(--\w+)", section)) if "prepare_cityscapes" not in section else set()
    assert all(flag in shown or flag == "--help" for flag in named)
