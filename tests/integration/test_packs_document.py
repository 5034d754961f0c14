"""docs/packs.md: its commands run as written, on the demo data set and for few iterations."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from documents import ROOT, blocks, commands, run

from paddleseg.data.pack import Pack

DOCUMENT = (ROOT / "docs" / "packs.md").read_text("utf-8")
SHORT = ["iters=2", "batch_size=2"]


def test_the_commands_are_those_that_run_below() -> None:
    programs = [one.split()[0 if one.startswith(("mv", "ln")) else 1] for one in commands(DOCUMENT)]
    pack = "tools/pack_dataset.py"
    assert programs == [pack, "train.py", pack, pack, "mv", "ln", pack, pack, "-m"]


def test_the_yaml_says_what_the_command_line_says() -> None:
    (text,) = blocks(DOCUMENT, "yaml")
    assert yaml.safe_load(text) == {"train_dataset": {"pack": "data/packs/train"}}


@pytest.mark.slow
@pytest.mark.distributed
def test_the_commands_run_in_order(checkout: Path) -> None:
    data = "--output data/demo_cityscapes --train 8 --val 1 --size 64 32"
    run(f"python tools/make_demo_dataset.py {data}", checkout)
    make, train, again, verify, move, link, part, other_part, launch = commands(DOCUMENT)
    assert "packed 8 of 8 images" in run(make, checkout)
    assert "8 samples from the pack data/packs/train (8 shards)" in run(train, checkout, *SHORT)
    assert "packed 8 of 8 images" in run(again, checkout)
    assert "8 of 8 images are as they were packed" in run(verify, checkout)
    (checkout / "disk2").mkdir()
    for command in (move, link):
        run(command.replace("/mnt/disk2", f"{checkout}/disk2"), checkout)
    assert "8 of 8 images are as they were packed" in run(verify, checkout)
    assert "packed 4 of 8 images" in run(part, checkout)
    assert len(Pack.open(checkout / "data/packs/part", shards=[0, 2])) == 8
    assert "packed 4 of 8 images" in run(other_part, checkout)
    assert "[DONE] 2 iterations" in run(launch, checkout, *SHORT)
