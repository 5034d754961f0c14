"""`pack:` in a data set's block: the same batches, refused when stale, alone, by rank."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_task import config_tree, write_config, write_dataset

from paddleseg.build import build_dataset, check_files, load_config
from paddleseg.build_packs import build_for_packing, reads_by_rank
from paddleseg.config.config import Config
from paddleseg.data.crop_check import check_crop_size
from paddleseg.data.datasets import SampleKey, SegmentationDataset
from paddleseg.data.loader import make_eval_loader, make_train_loader
from paddleseg.data.packing import PackOptions, build_pack
from paddleseg.data.sampler import TrainBatchSampler
from paddleseg.errors import ConfigError, DataError
from paddleseg.registry import DATASETS

BLOCKS = ("train_dataset", "val_dataset")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with data/, train.yml and packs/train and packs/val of four shards."""
    data = write_dataset(tmp_path / "data")
    tree = {key: block for key, block in config_tree(data, {}).items() if key != "model"}
    write_config(tmp_path / "train.yml", tree)
    for split in ("train", "val"):
        build_pack(
            build_for_packing(load(tmp_path), split), tmp_path / "packs" / split, PackOptions(shards=4)
        )
    return tmp_path


def load(project: Path, **overrides: Any) -> Config:
    return load_config(
        project / "train.yml", {key.replace("__", "."): v for key, v in overrides.items()}, required=()
    )


def load_packed(project: Path, **overrides: Any) -> Config:
    packs = {f"{split}_dataset__pack": str(project / "packs" / split) for split in ("train", "val")}
    return load(project, **packs, **overrides)


def batches(dataset: SegmentationDataset, num_workers: int) -> list[tuple[bytes, bytes, list[str]]]:
    sampler = TrainBatchSampler(len(dataset), batch_size=2, seed=3, iterations=8)
    loader = make_train_loader(dataset, sampler, num_workers)
    return [(one.images.numpy().tobytes(), one.labels.numpy().tobytes(), one.paths) for one in loader]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_training_batches_are_the_same_bit_by_bit(project: Path, num_workers: int) -> None:
    expected = batches(build_dataset(load(project), "train"), 0)
    packed = build_dataset(load_packed(project), "train")
    shutil.rmtree(project / "data" / "images")  # so that the pixels can only come from the pack
    assert batches(packed, num_workers) == expected


def test_items_to_evaluate_are_the_same_bit_by_bit(project: Path) -> None:
    expected = list(make_eval_loader(build_dataset(load(project), "val")))
    found = list(make_eval_loader(build_dataset(load_packed(project), "val"), num_workers=2))
    assert len(found) == len(expected) == 8
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.image[:], other.image[:])
        assert np.array_equal(one.label, other.label)
        assert (one.undo, one.image_path, one.index) == (other.undo, other.image_path, other.index)


def test_a_stale_pack_is_refused_with_the_command_that_renews_it(project: Path) -> None:
    (project / "data/images/5.png").write_bytes((project / "data/images/4.png").read_bytes())
    with pytest.raises(DataError) as caught:
        build_dataset(load_packed(project), "train")
    pack = project / "packs/train"
    assert str(caught.value) == (
        f"{pack}: the pack is stale: the files of sample images/5.png have changed (size or time); "
        f"pack again: python tools/pack_dataset.py --config {project / 'train.yml'} --mode train "
        f"--output {pack} --overwrite"
    )


def test_the_pack_of_another_split_is_refused(project: Path) -> None:
    with pytest.raises(DataError, match="the pack is stale: mode is train, it was val"):
        build_dataset(load(project, train_dataset__pack=str(project / "packs/val")), "train")


def test_a_pack_does_without_the_files_that_it_was_made_of(project: Path) -> None:
    with_files = build_dataset(load_packed(project), "train")
    expected = batches(with_files, 0)
    shutil.rmtree(project / "data")
    config = load_packed(project)
    check_files(config, BLOCKS)
    alone = build_dataset(config, "train")
    assert alone.files == with_files.files
    check_crop_size(alone)
    assert batches(alone, 0) == expected


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({f"{block}__num_classes": 5 for block in BLOCKS}, "num_classes is 5, it was 4"),
        ({f"{block}__ignore_index": 3 for block in BLOCKS}, "ignore_index is 3, it was 255"),
        ({"train_dataset__mode": "val"}, "mode is val, it was train"),
    ],
)
def test_without_files_the_parameters_still_count(
    project: Path, overrides: dict[str, Any], message: str
) -> None:
    shutil.rmtree(project / "data")
    with pytest.raises(DataError, match=f"the pack is stale: {message}"):
        build_dataset(load_packed(project, **overrides), "train")


def test_without_files_a_constructor_may_refuse_a_value(project: Path) -> None:
    shutil.rmtree(project / "data")
    with pytest.raises(
        ConfigError, match=r"train_dataset: class_names: expected 4 entries \(num_classes\), got 1"
    ):
        build_dataset(load_packed(project, train_dataset__class_names=["road"]), "train")


def test_without_files_and_pack_both_are_missed(project: Path) -> None:
    shutil.rmtree(project / "data")
    config = load(project, train_dataset__pack=str(project / "packs/none"))
    with pytest.raises(ConfigError, match=r"make it with tools/pack_dataset.py, or remove the key"):
        check_files(config, ["train_dataset"])
    with pytest.raises(ConfigError, match=r"val_dataset.dataset_root: no folder"):
        check_files(config, ["val_dataset"])


def test_crops_are_judged_by_the_packed_sizes(project: Path) -> None:
    transforms = [{"type": "RandomPaddingCrop", "crop_size": [65, 49]}]  # the images have 64×48
    dataset = build_dataset(load_packed(project, train_dataset__transforms=transforms), "train")
    with pytest.raises(DataError, match=r"crop_size \[65, 49\] is larger than every image.*largest: 64×48"):
        check_crop_size(dataset)


def test_each_rank_needs_its_own_shards_alone(project: Path) -> None:
    seen = []
    for rank in range(2):
        config = load_packed(project, train_dataset__pack_shards="by_rank")
        assert reads_by_rank(config)
        home = project / f"rank{rank}"
        shutil.copytree(project / "packs/train", home)
        for shard in (1 - rank, 3 - rank):
            (home / f"shard_{shard:05d}.bin").unlink()
            (home / f"shard_{shard:05d}.json").unlink()
        config.set("train_dataset.pack", str(home), "test")
        dataset = build_dataset(config, "train", rank=rank, world_size=2)
        sampler = TrainBatchSampler(
            len(dataset), batch_size=2, seed=1, iterations=2, rank=rank, world_size=2, by_rank=True
        )
        seen += [name for batch in make_train_loader(dataset, sampler) for name in batch.paths]
        with pytest.raises(DataError, match="in this shard, not opened here"):
            dataset[SampleKey(1 - rank, (0,))]
    assert sorted(seen) == sorted(str(project / f"data/images/{index}.png") for index in range(8))


def test_each_rank_judges_crops_by_the_images_of_all(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    for name in ("images", "labels"):  # one sample of rank 1 alone fills the crop
        picture = Image.open(data / name / "3.png")
        picture.resize((80, 60), Image.Resampling.NEAREST).save(data / name / "3.png")
    tree = {key: block for key, block in config_tree(data, {}).items() if key != "model"}
    tree["train_dataset"]["transforms"] = [{"type": "RandomPaddingCrop", "crop_size": [72, 60]}]
    write_config(tmp_path / "train.yml", tree)
    build_pack(build_for_packing(load(tmp_path), "train"), tmp_path / "packs/train", PackOptions(shards=4))
    config = load(
        tmp_path, train_dataset__pack=str(tmp_path / "packs/train"), train_dataset__pack_shards="by_rank"
    )
    for rank in range(2):
        check_crop_size(build_dataset(config, "train", rank=rank, world_size=2))


def test_a_packed_data_set_is_described_as_its_files_are(project: Path) -> None:
    named: dict[str, Any] = {
        "val_dataset__class_names": list("abcd"),
        "val_dataset__palette": [[1, 2, 3]] * 4,
        "val_dataset__ignore_index": 255,
    }
    from_files, packed = (vars(build_dataset(one(project, **named), "val")) for one in (load, load_packed))
    assert {name for name in from_files if packed[name] != from_files[name]} == {"pack", "transforms"}
    kinds = [[type(step) for step in one["transforms"].transforms] for one in (from_files, packed)]
    assert kinds[0] == kinds[1] != []


def test_shards_that_cannot_be_shared_evenly_are_refused(project: Path) -> None:
    config = load_packed(project, train_dataset__pack_shards="by_rank")
    with pytest.raises(ConfigError, match="4 shards cannot be shared evenly by 3 processes"):
        build_dataset(config, "train", rank=0, world_size=3)


def test_without_the_key_all_ranks_have_all_samples(project: Path) -> None:
    config = load_packed(project)
    assert not reads_by_rank(config)
    dataset = build_dataset(config, "train", rank=1, world_size=2)
    assert len([dataset.load(index) for index in range(8)]) == 8


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train_dataset__pack": 3}, "train_dataset.pack: got 3; expected text or null"),
        (
            {"train_dataset__pack_shards": "by_rank"},
            "train_dataset.pack_shards: needs 'pack', which is not given",
        ),
        ({"train_dataset__pack_shards": "all"}, "got 'all'; expected one of 'by_rank'"),
        ({"val_dataset__pack_shards": "by_rank"}, "unknown parameter of Dataset"),
    ],
)
def test_wrong_keys_are_found_by_the_check(project: Path, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(project, **overrides)


def test_no_pack_is_none(project: Path) -> None:
    assert build_dataset(load(project, train_dataset__pack=None), "train").pack is None


@pytest.mark.parametrize("method", ["load", "__getitem__"])
@pytest.mark.parametrize("files", [True, False])
def test_a_class_that_loads_in_its_own_way_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, method: str, files: bool
) -> None:
    if not files:
        shutil.rmtree(project / "data")
    own = type("Dataset", (DATASETS.get("Dataset"),), {method: lambda self, index: None})
    monkeypatch.setattr(DATASETS, "get", lambda name: own)
    with pytest.raises(ConfigError, match=r"train_dataset.type: Dataset loads its samples in its own way"):
        build_dataset(load_packed(project), "train")
    with pytest.raises(ConfigError, match="loads its samples in its own way"):
        build_for_packing(load(project), "train")


def test_there_must_be_something_to_pack(project: Path) -> None:
    with pytest.raises(ConfigError, match="test_dataset: missing; there is nothing to pack"):
        build_for_packing(load(project), "test")


MAPPED = {
    "train_dataset__label_map": {"0": 0, "1": 0, "2": 1, "other": "ignore"},
    "train_dataset__num_classes": None,
}


@pytest.mark.parametrize("with_files", [True, False])
def test_a_pack_of_another_coding_is_refused(project: Path, with_files: bool) -> None:
    """A map of ids belongs to what a pack is made of, also where only the pack is there to tell."""
    classes = {"val_dataset__num_classes": 2, **MAPPED}
    mapped = load(project, **classes)
    build_pack(build_for_packing(mapped, "train"), project / "packs" / "mapped", PackOptions(shards=2))
    expected = build_dataset(mapped, "train").load(0).label
    if not with_files:
        (project / "data").rename(project / "elsewhere")
    classes["train_dataset__pack"] = str(project / "packs" / "mapped")
    packed = build_dataset(load(project, **classes), "train")
    np.testing.assert_array_equal(packed.load(0).label, expected)
    np.testing.assert_array_equal(packed.decode_label(0), expected)
    classes["train_dataset__label_map"] = {"0": 1, "1": 0, "2": 1, "other": "ignore"}
    with pytest.raises(
        DataError, match=r"the pack is stale: label_map is 0: 1; 1: 0; 2: 1; other: ignore, it was 0: 0"
    ):
        build_dataset(load(project, **classes), "train")
