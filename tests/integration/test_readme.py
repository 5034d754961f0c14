"""README.md and README_CN.md: every command, config and snippet works, and both say the same.

The commands run as written, in a folder that looks like a checkout; only iterations, data, weights and device
are overridden.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections import Counter
from importlib.metadata import metadata
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
from documents import FENCED, ROOT, blocks, check_predictions, check_same_labels, commands, run

from paddleseg import registry
from paddleseg.build import build_loss, import_components, load_config

ENGLISH, CHINESE = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README_CN.md"))

NOT_RUN = {
    "bash scripts/quickstart.sh": "continuous integration runs it as it is",
    "bash scripts/test.sh": "it is what runs this test",
    "pip install -e '.[cpu]'": "changes the environment; test_extras_exist looks at the extras",
    "visualdl --logdir output/ccnet --disable-telemetry": "a server; its options are looked at",
}
# Pictures of 512×256 padded to 2049×1025 cost 16 times as much; the training command does it once.
WITHOUT_PADDING = ["--device", "cpu", "--opts", "val_dataset.transforms=[{type: Normalize}]"]
CITYSCAPES_OVERRIDES = {
    "tools/prepare_cityscapes.py": ["--allow_partial"],
    "train.py": [
        *("--iters", "1", "--device", "cpu"),
        *("--opts", "model.backbone.pretrained=null"),
    ],
    "val.py": WITHOUT_PADDING,
    "predict.py": WITHOUT_PADDING,
    "export.py": WITHOUT_PADDING,
}


def prose(text: str) -> str:
    """All that is not in a fenced block, on one line."""
    return " ".join(FENCED.sub("", text).split())


def section(title: str) -> str:
    """The text of README.md below a heading."""
    (found,) = (part for part in ENGLISH.split("\n## ") if part.startswith(f"{title}\n"))
    return found


def write_own_data(folder: Path) -> None:
    """Ten pictures whose three classes are told by their colour, listed as the README says."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    names = [f"{i:04d}" for i in range(1, 11)]
    for name in names:
        mask = np.kron(rng.integers(0, 3, (3, 4)), np.ones((64, 64))).astype(np.uint8)
        mask[:4] = 255
        image = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200], [0, 0, 0]], np.uint8)[mask.clip(max=3)]
        assert cv2.imwrite(str(folder / "images" / f"{name}.jpg"), image)
        assert cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)
    lines = [f"images/{name}.jpg masks/{name}.png\n" for name in names]
    assert blocks(section("Your own data"), "text") == ["".join(lines[:2])]
    (folder / "train.txt").write_text("".join(lines[:8]))
    (folder / "val.txt").write_text("".join(lines[8:]))


def write_own_configs(folder: Path) -> None:
    """The README's two configs and its component, under the names that it gives them."""
    own, focal = blocks(ENGLISH, "yaml")
    (folder / "my_data.yml").write_text(own)
    (folder / "my_focal.yml").write_text(focal)
    (folder / "my_losses.py").write_text(blocks(ENGLISH, "python")[1])


def write_official_archives(folder: Path) -> None:
    """Demo pictures, packed as the official archives are."""
    run("python tools/make_demo_dataset.py --output demo --train 2 --val 1 --size 512 256", folder)
    for top in ("leftImg8bit", "gtFine"):
        with zipfile.ZipFile(folder / f"{top}_trainvaltest.zip", "w") as archive:
            for file in sorted((folder / "demo" / top).rglob("*.png")):
                archive.write(file, file.relative_to(folder / "demo"))


def test_both_languages_have_the_same_blocks() -> None:
    assert FENCED.findall(CHINESE) == FENCED.findall(ENGLISH)
    assert ENGLISH.count("```") == 2 * len(FENCED.findall(ENGLISH))


def test_both_languages_have_the_same_numbers_names_and_links() -> None:
    number, code, link = re.compile(r"\d+(?:[.,]\d+)*"), re.compile(r"`[^`]+`"), re.compile(r"\]\(([^)]+)\)")
    for pattern in (number, code):
        found = [Counter(pattern.findall(prose(text))) for text in (ENGLISH, CHINESE)]
        assert not found[0] - found[1]
        assert not found[1] - found[0]
    links = [set(link.findall(text)) - {"README.md", "README_CN.md"} for text in (ENGLISH, CHINESE)]
    assert links[0] == links[1]
    assert CHINESE.count("\n## ") == ENGLISH.count("\n## ")


def test_what_is_linked_or_named_exists() -> None:
    targets = set(re.findall(r"\]\(([^)]+)\)", ENGLISH + CHINESE))
    files = {target for target in targets if "://" not in target}
    files |= set(re.findall(r"\bconfigs/[\w/]+\.yml", prose(ENGLISH)))
    files -= {"configs/my_data.yml", "configs/my_focal.yml"}
    missing = sorted(name for name in files if not (ROOT / name).is_file())
    assert not missing
    large = [name for name in files if name.startswith("images/") and (ROOT / name).stat().st_size >= 300_000]
    assert not large


def test_lines_are_short_and_no_figure_is_open() -> None:
    for text in (ENGLISH, CHINESE):
        assert not [line for line in text.splitlines() if len(line) > 120]
        assert "TB" + "D" not in text


def test_every_command_is_run_or_named_with_its_reason() -> None:
    tested = [
        one
        for title in ("Installation", "Cityscapes", "Your own data", "Several cards, long runs")
        for one in commands(section(title))
        if one.startswith("python ")
    ]
    assert Counter(commands(ENGLISH)) == Counter([*tested, *NOT_RUN])


def test_extras_exist() -> None:
    wanted = set(re.findall(r"'\.\[(\w+)\]'", ENGLISH))
    assert wanted == {"cpu", "gpu"}
    assert wanted <= set(metadata("paddleseg-ccnet").get_all("Provides-Extra", []))
    rows = re.findall(r"^\| (\d+\.\d) \|.*/cu(\d+)/` \|$", ENGLISH, re.MULTILINE)
    assert [version.replace(".", "") for version, _ in rows] == [index for _, index in rows]
    assert [version for version, _ in rows] == ["11.8", "12.6", "12.9"]


@pytest.mark.slow
def test_visualdl_options(tmp_path: Path) -> None:
    shown = run("visualdl --help", tmp_path)
    assert "--logdir" in shown
    assert "--disable-telemetry" in shown


@pytest.mark.slow
def test_the_number_of_gpus_is_printed(tmp_path: Path) -> None:
    (command,) = (one for one in commands(section("Installation")) if one.startswith("python "))
    assert any(line.isdigit() for line in run(command, tmp_path).splitlines())


@pytest.mark.slow
def test_the_python_snippet_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    exec(blocks(ENGLISH, "python")[0], names)
    logits = names["logits"]
    assert isinstance(logits, paddle.Tensor)
    assert logits.shape == [1, 19, 128, 256]


def test_the_component_of_ones_own_is_found_and_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    import_components()
    monkeypatch.setattr(registry.LOSSES, "_components", dict(registry.LOSSES._components))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_losses", raising=False)
    write_own_configs(tmp_path)
    config = load_config(tmp_path / "my_focal.yml")
    assert config.tree["model"]["num_classes"] == 3
    logits = rng.normal(size=(2, 3, 4, 5))
    labels = rng.integers(0, 3, (2, 4, 5))
    labels[0, 0, :3] = 255
    total, count = 0.0, 0
    for n, y, x in np.ndindex(2, 4, 5):
        if labels[n, y, x] != 255:
            exponentials = np.exp(logits[n, :, y, x])
            p = exponentials[labels[n, y, x]] / exponentials.sum()
            total, count = total - (1 - p) ** 3 * np.log(p), count + 1
    output = paddle.to_tensor(logits.astype("float32"))
    # The main and the auxiliary output, weighted 1 and 0.4.
    values = build_loss(config)([output, output], paddle.to_tensor(labels))
    assert values.total.item() == pytest.approx(1.4 * total / count, rel=1e-5)


@pytest.mark.slow
def test_own_data(checkout: Path) -> None:
    write_own_data(checkout / "data" / "my_data")
    write_own_configs(checkout / "configs")
    assert len(blocks(ENGLISH, "yaml")[0].splitlines()) <= 35
    for command in commands(section("Your own data")):
        device = [] if "tools/" in command else ["--device", "cpu"]
        iterations = ["--iters", "2"] if "train.py" in command else []
        run(command, checkout, *device, *iterations)
    output = checkout / "output" / "my_data"
    metrics = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert any("Evaluate/mIoU" in json.dumps(line) for line in metrics)
    for name in ("predictions", "deployed"):
        check_predictions(output / name, count=10, shape=(192, 256), classes=3)
    check_same_labels(output / "predictions", output / "deployed")


@pytest.mark.slow
@pytest.mark.distributed
def test_several_cards(checkout: Path) -> None:
    write_own_data(checkout / "data" / "my_data")
    write_own_configs(checkout / "configs")
    training, evaluation = commands(section("Several cards, long runs"))
    output = checkout / "output" / "my_cards"
    for _ in range(2):  # the second time there is nothing left to do
        printed = run(training, checkout, "--device", "cpu", "--iters", "2")
    assert "nothing left to do: 2 iterations are done" in printed
    printed = run(evaluation, checkout, "--device", "cpu")
    assert "[EVAL] #Images: 2 " in printed
    log = (output / "train.log").read_text()
    assert "processes 2" in log
    of_training = re.findall(r"mIoU: (\d\.\d{4})", log)
    assert re.findall(r"mIoU: (\d\.\d{4})", printed)[-1] == of_training[-1]


@pytest.mark.slow
@pytest.mark.timeout(1800)  # about 3 minutes on 2 cores that have nothing else to do
def test_cityscapes(checkout: Path) -> None:
    write_official_archives(checkout)
    python = [one for one in commands(section("Cityscapes")) if one.startswith("python ")]
    printed = []
    for command in python:
        program = command.split()[1]
        printed.append(run(command, checkout, *CITYSCAPES_OVERRIDES.get(program, ["--device", "cpu"])))
    assert "train 2, val 1, test 0" in printed[0]
    assert sum("[EVAL] #Images: 1 " in text for text in printed) == 3
    output = checkout / "output" / "ccnet"
    for name in ("train.log", "metrics.jsonl", "config.yml", "environment.json", "best_model/model.pdparams"):
        assert (output / name).is_file(), name
    assert (output / "iter_1" / "model.pdparams").is_file()
    assert list(output.glob("vdlrecords*"))
    assert "[RUN] device: cpu" in (output / "train.log").read_text()
    assert (output / "val" / "metrics.json").is_file()
    assert (output / "val" / "confusion_matrix.csv").is_file()
    assert len(list((output / "val" / "worst_images").iterdir())) == 1
    for name in ("predictions", "deployed"):
        check_predictions(output / name, count=1, shape=(256, 512), classes=19)
    check_same_labels(output / "predictions", output / "deployed")
