"""docs/custom_dataset.md: its commands run in order, on made-up photographs with labelme's annotations."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from documents import ROOT, blocks, check_predictions, check_same_labels, commands, run
from PIL import Image

sys.path.insert(0, str(ROOT / "tools"))

import check_dataset
import labelme2seg

from paddleseg.build import build_dataset, load_config
from paddleseg.cli import predict, train, val

NAMES = ("custom_dataset.md", "custom_dataset_CN.md")
ENGLISH, CHINESE = ((ROOT / "docs" / name).read_text("utf-8") for name in NAMES)
FENCES = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+(?:\.\d+)?")
WIDTH, HEIGHT = 640, 480
CONFIG, WEIGHTS, LARGE = blocks(ENGLISH, "yaml")
CONVERTED, CHECKED, REFUSED = (text for kind, text in FENCES.findall(ENGLISH) if not kind)

# What the masks of each row of the last table hold, and the class ids that they stand for.
MASKS: dict[str, tuple[list[Any], list[int]]] = {
    "none": ([0, 1, 2, 255], [0, 1, 2, 255]),
    "label_map: {0: 0, 255: 1}": ([0, 255], [0, 1]),
    "color_map: [[0, 0, 0], [0, 255, 0], [255, 255, 0]]": (
        [[0, 255, 0], [255, 255, 0], [0, 0, 0]],
        [1, 2, 0],
    ),
    "reduce_zero_label: true": ([0, 1, 2, 3], [255, 0, 1, 2]),
    "label_map: {0: 0, 7: 1, 11: 2, 12: 2}": ([0, 7, 11, 12], [0, 1, 2, 2]),
    "label_map: {0: 0, 7: 1, 11: 2, other: ignore}": ([0, 7, 11, 99], [0, 1, 2, 255]),
    "mask_suffix: _mask": ([0, 1, 2, 255], [0, 1, 2, 255]),
}


def draw_leaf(rng: np.random.Generator) -> tuple[np.ndarray, list[dict[str, object]]]:
    """A green leaf with yellow spots on blurred ground, [H, W, 3] BGR, and labelme's shapes of it."""
    ground = rng.integers(-40, 40, (4, 6, 3)) + np.array([60, 80, 110])
    photo = cv2.resize(ground.astype(np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    centre, angle = rng.integers([230, 180], [410, 300]), int(rng.integers(180))
    outline = cv2.ellipse2Poly(centre.tolist(), (200, 100), angle, 0, 360, 15)
    cv2.fillPoly(photo, [outline], (60, 150 + int(rng.integers(40)), 70))
    shapes: list[dict[str, object]] = [
        {"label": "leaf", "shape_type": "polygon", "points": outline.tolist()},
    ]
    for spot in centre + rng.integers(-50, 50, (3, 2)):
        cv2.circle(photo, spot.tolist(), 13, (70, 210, 220), cv2.FILLED)
        points = [spot.tolist(), np.add(spot, (13, 0)).tolist()]
        shapes.append({"label": "spot", "shape_type": "circle", "points": points})
    return np.clip(photo + rng.normal(0, 4, photo.shape), 0, 255).astype(np.uint8), shapes


def write_photos(folder: Path) -> None:
    """24 photographs with labelme's files beside them, and one without."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in [*(f"leaf_{number:02}" for number in range(1, 25)), "new"]:
        photo, shapes = draw_leaf(rng)
        assert cv2.imwrite(str(folder / f"{name}.jpg"), photo)
        size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
        tree = {"version": "5.4.1", "shapes": shapes, "imagePath": f"{name}.jpg", "imageData": None, **size}
        if name != "new":
            (folder / f"{name}.json").write_text(json.dumps(tree))


def write_configs(folder: Path, line: str = "") -> Path:
    """The document's configs, with one more line in the first one's train_dataset."""
    root = "  dataset_root: data/mine\n"
    (folder / "mine.yml").write_text(CONFIG.replace(root, f"{root}  {line}\n" if line else root, 1))
    (folder / "mine_large.yml").write_text(LARGE)
    return folder / "mine.yml"


def break_data(mine: Path) -> None:
    """The three faults of the document."""
    masks = mine / "annotations"
    shutil.copy(mine / "images/leaf_01.jpg", mine / "images/leaf_25.jpg")
    ids = {number: np.asarray(Image.open(masks / f"leaf_{number:02}.png")) for number in (3, 4)}
    Image.fromarray(np.where(ids[3] == 1, 204, ids[3]).astype(np.uint8)).save(masks / "leaf_03.png")
    Image.fromarray(ids[4][: HEIGHT // 2]).save(masks / "leaf_04.png")


def assert_shown(block: str, printed: str) -> None:
    """The lines of the document are printed in this order; numbers may differ by a hundredth."""
    lines = iter(printed.splitlines())
    for wanted in block.splitlines():
        assert any(is_alike(wanted, line) for line in lines), f"{wanted}\nis not in\n{printed}"


def is_alike(one: str, other: str) -> bool:
    if NUMBER.sub("#", one) != NUMBER.sub("#", other):
        return False
    numbers = (np.array(NUMBER.findall(text), float) for text in (one, other))
    return np.allclose(*numbers, rtol=0.01)


def test_both_languages_say_the_same() -> None:
    assert FENCES.findall(ENGLISH) == FENCES.findall(CHINESE)
    texts = [FENCES.sub("", text).replace("_CN.md", ".md") for text in (ENGLISH, CHINESE)]
    for pattern in (r"`[^`]+`", r"(?m)^#+ ", r"\d+(?:\.\d+)?"):
        found = [Counter(re.findall(pattern, text)) for text in texts]
        assert found[0] - found[1] == found[1] - found[0] == Counter()
    links = [set(re.findall(r"\]\(([^)]+)\)", text)) - {"custom_dataset.md"} for text in texts]
    assert links[0] == links[1]


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=NAMES)
def test_links_lead_somewhere_and_lines_are_short(text: str) -> None:
    targets = [one for one in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in one]
    assert targets
    assert [one for one in targets if not (ROOT / "docs" / one).is_file()] == []
    assert [line for line in FENCES.sub("", text).splitlines() if len(line) > 120] == []


def test_the_commands_are_those_that_run_below() -> None:
    programs = [command.split()[1] for command in commands(ENGLISH)]
    tools = ["tools/labelme2seg.py", "tools/check_dataset.py"]
    assert programs == [*tools, "train.py", "val.py", "predict.py", "export.py", "deploy/python/infer.py"]


def test_the_flags_in_the_text_exist(capsys: pytest.CaptureFixture[str]) -> None:
    spans = re.findall(r"`[^`]*`", FENCES.sub("", ENGLISH))
    flags = {flag for span in spans for flag in re.findall(r"--\w+", span)}
    sliding = {"--is_slide", "--crop_size", "--stride"}
    for program, named in ((train, flags - sliding), (val, sliding), (predict, sliding)):
        with pytest.raises(SystemExit):
            program.main(["--help"])
        assert named <= set(re.findall(r"--\w+", capsys.readouterr().out))


def test_the_table_of_masks_is_complete() -> None:
    rows = re.findall(r"^\| .* \| (?:`([^`]+)`|none)[^|]* \|$", ENGLISH, re.MULTILINE)
    assert [line or "none" for line in rows] == list(MASKS)


@pytest.mark.parametrize("line", MASKS)
def test_masks_from_elsewhere(line: str, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values, ids = MASKS[line]
    suffix = "_mask" if line.startswith("mask_suffix") else ""
    for number in range(12):
        for kind, end, pixels in (
            ("images", ".jpg", [[0, 0, 0]] * len(ids)),
            ("masks", f"{suffix}.png", values),
        ):
            (checkout / "data/mine" / kind).mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(np.array([pixels], np.uint8))
            picture.save(checkout / "data/mine" / kind / f"{number}{end}")
    path = write_configs(checkout / "configs", "" if line == "none" else line)
    monkeypatch.chdir(checkout)
    config = load_config(path)
    for split in ("train", "val"):
        label = build_dataset(config, split).load(0).label
        assert label.tolist() == [ids]


def test_the_share_of_validation_is_set_once(checkout: Path) -> None:
    tree = load_config(write_configs(checkout / "configs", "val_ratio: 0.3")).tree
    assert tree["train_dataset"]["val_ratio"] == tree["val_dataset"]["val_ratio"] == 0.3


def test_large_photographs_shrink(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, shape in (("images", (1500, 2000, 3)), ("masks", (1500, 2000))):
        for split in ("train", "val"):
            (checkout / "data/mine" / kind / split).mkdir(parents=True)
            assert cv2.imwrite(str(checkout / f"data/mine/{kind}/{split}/1.png"), np.zeros(shape, np.uint8))
    write_configs(checkout / "configs")
    monkeypatch.chdir(checkout)
    config = load_config("configs/mine_large.yml")
    assert build_dataset(config, "train")[0].size == (512, 512)
    sample = build_dataset(config, "val")[0]
    assert (sample.size, sample.label.shape) == ((768, 1024), (1500, 2000))


@pytest.mark.slow
def test_a_broken_folder(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configs(checkout / "configs")
    write_photos(checkout / "photos")
    monkeypatch.chdir(checkout)
    convert, check, *_ = (shlex.split(one)[2:] for one in commands(ENGLISH))
    assert labelme2seg.main(convert) == 0
    break_data(checkout / "data/mine")
    assert check_dataset.main([*check, "--workers", "0"]) == 1
    assert_shown(REFUSED, capsys.readouterr().out)
    (merge,) = re.findall(r"`(label_map: {0: 0, 1: 1, 2: 2, 204: 1})`", ENGLISH)
    key, _, value = merge.partition(": ")
    assert check_dataset.main([*check, "--workers", "0", "--opts", f"train_dataset.{key}={value}"]) == 1
    assert "2 errors" in capsys.readouterr().out


@pytest.mark.slow
def test_from_photographs_to_an_exported_model(checkout: Path) -> None:
    convert, check, training, evaluation, prediction, export, infer = commands(ENGLISH)
    write_photos(checkout / "photos")
    assert_shown(CONVERTED, run(convert, checkout))
    names = (checkout / "data/mine/class_names.txt").read_text().splitlines()
    assert yaml.safe_load(CONFIG)["train_dataset"]["class_names"] == names
    config = write_configs(checkout / "configs")
    assert_shown(CHECKED, run(check, checkout))
    report = json.loads((checkout / "output/mine/check/report.json").read_text())
    (loss,) = yaml.safe_load(WEIGHTS)["loss"]["types"]
    assert loss["weight"] == pytest.approx(report["splits"]["train"]["weights"]["enet"], rel=0.01)
    assert (checkout / "output/mine/check/report.html").is_file()
    config.write_text(CONFIG + WEIGHTS)
    cpu = ("--device", "cpu")
    assert "[DONE] 1 iterations" in run(training, checkout, *cpu, "--iters", "1")
    assert "\nspot " in run(evaluation, checkout, *cpu)
    for command in (prediction, export, infer):
        run(command, checkout, *cpu)
    output = checkout / "output/mine"
    assert len(list((output / "val/worst_images").iterdir())) == 5
    for name in ("predictions", "deployed"):
        check_predictions(output / name, count=1, shape=(HEIGHT, WIDTH), classes=3)
    check_same_labels(output / "predictions", output / "deployed")
    assert yaml.safe_load((output / "export/deploy.yaml").read_text())["Deploy"]["class_names"] == names
