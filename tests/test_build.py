"""From configuration files to checked configurations and objects, with the real components."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import yaml
from build_cases import SMALL, complaints

from paddleseg import build
from paddleseg.build import load_config
from paddleseg.config.config import Config
from paddleseg.config.schema import TRAIN_KEYS
from paddleseg.errors import ConfigError, WeightsError

pytestmark = pytest.mark.usefixtures("restored_registries")


def test_the_published_config_loads_and_is_completed(reference: Path) -> None:
    config = load_config(reference, required=TRAIN_KEYS)
    tree = config.tree
    assert (tree["batch_size"], tree["iters"]) == (2, 60000)
    assert tree["model"] == {
        "type": "CCNet",
        "num_classes": 19,
        "backbone": {
            "type": "ResNet101_vd",
            "output_stride": 8,
            "in_channels": 3,
            "pretrained": "https://bj.bcebos.com/paddleseg/dygraph/resnet101_vd_ssld.tar.gz",
        },
        "backbone_indices": [2, 3],
        "enable_auxiliary_loss": True,
        "dropout_prob": 0.1,
        "recurrence": 2,
    }
    assert tree["loss"] == {
        "types": [
            {"type": "OhemCrossEntropyLoss", "ignore_index": 255},
            {"type": "CrossEntropyLoss", "ignore_index": 255},
        ],
        "coef": [1, 0.4],
    }
    assert tree["optimizer"] == {"type": "SGD", "momentum": 0.9, "weight_decay": 4e-5}
    assert [one["type"] for one in tree["train_dataset"]["transforms"]] == [
        "ResizeStepScaling",
        "RandomPaddingCrop",
        "RandomHorizontalFlip",
        "RandomDistort",
        "Normalize",
    ]
    assert tree["train_dataset"]["transforms"][1]["crop_size"] == [769, 769]
    assert tree["val_dataset"]["transforms"][0] == {"type": "Padding", "target_size": [2049, 1025]}
    assert config.source("lr_scheduler.end_lr").startswith(f"{reference}:")
    assert config.source("optimizer.momentum").endswith("configs/_base_/cityscapes.yml:33")


def test_every_shipped_config_loads(root_dir: Path) -> None:
    paths = sorted((root_dir / "configs").rglob("*.yml"))
    assert paths
    for path in paths:
        is_base = path.parent.name == "_base_"
        # The base of a model leaves the number of classes to a data set.
        options = {"model.num_classes": 19} if is_base and path.stem.startswith("ccnet_") else {}
        load_config(path, options, required=() if is_base else TRAIN_KEYS)


def test_reference_schedule_end_points(reference: Path) -> None:
    schedule = build.build_schedule(load_config(reference))
    # 1e-4 + (0.01 − 1e-4)·(1 − 30000/60000)^0.9 = 1e-4 + 0.0099·0.535887
    assert [schedule(0), schedule(30000), schedule(60000)] == pytest.approx([0.01, 0.0054053, 1e-4], rel=1e-4)


def test_all_problems_at_once_with_their_places(reference: Path) -> None:
    found = complaints(
        reference,
        [
            "itres=5",
            "model.recurence=2",
            "model.num_classes=20",
            "model.backbone.output_stride=true",
            "optimizer.type=SDG",
            "train_dataset.transforms.1.crop_size=[0,769]",
            "loss.types.0.thresh=7",
            "lr_scheduler.power=a",
            "plugins=[no_such_module]",
            "loss.coef=[1]",
        ],
    )
    assert found[0] == f"{len(found) - 1} problems in the configuration:"
    starts = [
        "--opts itres: unknown key at the top level; did you mean 'iters'?",
        "--opts model.recurence: unknown parameter of CCNet; did you mean 'recurrence'?",
        "--opts model.num_classes: got 20, but train_dataset.num_classes is 19",
        "--opts model.backbone.output_stride: got True; expected a whole number",
        "--opts optimizer.type: no optimizer 'SDG'; did you mean 'SGD'?",
        "--opts train_dataset.transforms.1.crop_size: RandomPaddingCrop: crop_size",
        "--opts loss.types.0.thresh: OhemCrossEntropyLoss: thresh: got 7",
        "--opts lr_scheduler.power: got 'a'; expected a number",
        "--opts plugins plugins[0]: cannot import plugin 'no_such_module'",
        "--opts loss.coef: got 1 coefficients; CCNet has 2 outputs in training, so expected 2",
    ]
    for start in starts:
        assert any(one.startswith(start) for one in found), f"{start}\nnot in\n" + "\n".join(found)


def test_weights_that_do_not_fit_name_their_entry(list_config: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pdparams"
    paddle.save({"stem.weight": paddle.zeros([2])}, str(wrong))
    for key in ("model.backbone.pretrained", "model.pretrained"):
        config = load_config(list_config, [f"{key}={wrong}"])
        with pytest.raises(WeightsError, match=re.escape(f"--opts {key}: {wrong}: nothing in it fits")):
            build.build_model(config)


def test_the_programs_needs(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text("iters: 3\n")
    with pytest.raises(ConfigError, match=re.escape(f"{path}:1 model: missing; this program needs it")):
        load_config(path)
    assert load_config(path, required=()).settings.iters == 3
    for make in (build.build_model, build.build_loss, build.build_schedule):
        with pytest.raises(ConfigError, match="missing; this program needs it"):
            make(load_config(path, required=()))


def test_flags_and_overrides(reference: Path) -> None:
    flags = {"iters": 30, "learning_rate": 0.5, "batch_size": None}
    config = load_config(reference, ["iters=40"], flags=flags)
    assert (config.settings.iters, config.settings.batch_size) == (40, 2)
    assert build.build_schedule(config)(0) == 0.5
    with pytest.raises(ConfigError, match="--batch_size: got 0"):
        load_config(reference, flags={"batch_size": 0})


def test_build_model(reference: Path) -> None:
    model = build.build_model(load_config(reference, SMALL))
    image = paddle.zeros([1, 3, 33, 47])
    model.eval()
    assert [logits.shape for logits in model(image)] == [[1, 19, 33, 47]]
    model.train()
    assert [logits.shape for logits in model(paddle.zeros([2, 3, 33, 47]))] == [[2, 19, 33, 47]] * 2


@pytest.mark.slow
def test_build_model_loads_pretrained_weights(reference: Path, tmp_path: Path) -> None:
    first = build.build_model(load_config(reference, SMALL))
    whole, backbone = tmp_path / "whole.pdparams", tmp_path / "backbone.pdparams"
    paddle.save(first.state_dict(), str(whole))
    paddle.save(first.backbone.state_dict(), str(backbone))
    both = build.build_model(load_config(reference, [*SMALL, f"model.pretrained={whole}"]))
    for name, value in first.state_dict().items():
        np.testing.assert_array_equal(both.state_dict()[name].numpy(), value.numpy(), err_msg=name)
    part = build.build_model(load_config(reference, [SMALL[0], f"model.backbone.pretrained={backbone}"]))
    key = "backbone.bb_0_0.conv0._conv.weight"
    np.testing.assert_array_equal(part.state_dict()[key].numpy(), first.state_dict()[key].numpy())
    key = "head.cca.v_conv.weight"
    assert np.abs(part.state_dict()[key].numpy() - first.state_dict()[key].numpy()).max() > 0


def test_build_loss_serves_every_output_with_one_type(list_config: Path) -> None:
    loss = build.build_loss(load_config(list_config))
    logits = paddle.zeros([1, 4, 2, 3])
    labels = paddle.zeros([1, 2, 3], dtype="int64")
    values = loss([logits, logits], labels)
    # every pixel costs ln 4 on each output
    assert values.total.item() == pytest.approx(1.4 * np.log(4), rel=1e-6)
    assert len(values.parts) == 2


def test_build_mixed_loss(list_config: Path) -> None:
    mixed = "{type: MixedLoss, losses: [{type: CrossEntropyLoss}, {type: DiceLoss}], coef: [0.5, 2]}"
    loss = build.build_loss(load_config(list_config, [f"loss.types=[{mixed}]", "loss.coef=[1,0.4]"]))
    assert len(loss.names) == 4


def test_build_optimizer_from_the_legacy_learning_rate(list_config: Path) -> None:
    config = load_config(list_config, required=TRAIN_KEYS)
    schedule = build.build_schedule(config)
    assert [schedule(0), schedule(5), schedule(10)] == pytest.approx([0.1, 0.05, 0.0])
    optimizer = build.build_optimizer(config, paddle.nn.Linear(2, 2))
    assert isinstance(optimizer, paddle.optimizer.Momentum)
    assert optimizer.get_lr() == pytest.approx(0.1)


def test_custom_cfg_waits_for_the_model(list_config: Path) -> None:
    groups = "optimizer.custom_cfg=[{name: weight, lr_mult: 0.1}]"
    config = load_config(list_config, [groups])
    build.build_optimizer(config, paddle.nn.Linear(2, 2))
    config = load_config(list_config, [groups.replace("weight", "wieght")])
    with pytest.raises(ConfigError, match=r"optimizer.*wieght"):
        build.build_optimizer(config, paddle.nn.Linear(2, 2))


def make_data(folder: Path) -> None:
    import cv2

    (folder / "data").mkdir()
    for kind, value in (("image", 100), ("label", 3)):
        cv2.imwrite(str(folder / "data" / f"{kind}.png"), np.full((6, 8), value, np.uint8))
    for split in ("train", "val"):
        (folder / "data" / f"{split}.txt").write_text("image.png label.png\n")


def test_check_files_and_build_dataset(list_config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="2 problems") as caught:
        build.check_files(load_config(list_config), ["train_dataset", "val_dataset"])
    assert f"no folder '{tmp_path / 'data'}'" in str(caught.value)
    make_data(tmp_path)
    places = [f"{split}_dataset.{split}_path={tmp_path / 'data' / split}.txt" for split in ("train", "val")]
    transforms = "val_dataset.transforms=[{type: Resize, target_size: [4, 3]}]"
    config = load_config(list_config, [*places, transforms])
    build.check_files(config, ["train_dataset", "val_dataset"])
    dataset = build.build_dataset(config, "val")
    assert (len(dataset), dataset.mode, dataset.num_classes) == (1, "val", 4)
    assert build.build_dataset(config, "train").mode == "train"
    assert dataset[0].image.shape[:2] == (3, 4)


def test_build_transforms(reference: Path) -> None:
    config = load_config(reference, ["export.transforms=[{type: Resize, target_size: [4, 3]}]"])
    names = [type(one).__name__ for one in build.build_transforms(config, "export")]
    assert names == ["Resize"]
    names = [type(one).__name__ for one in build.build_transforms(config, "val_dataset")]
    assert names == ["Padding", "Normalize"]


def test_dataset_facts(reference: Path, list_config: Path) -> None:
    names, colours = build.dataset_facts(load_config(reference))
    assert names is not None
    assert colours is not None
    # the official Cityscapes table
    assert (len(names), names[0], names[18]) == (19, "road", "bicycle")
    assert (len(colours), colours[0], colours[18]) == (19, [128, 64, 128], [119, 11, 32])
    assert build.dataset_facts(load_config(list_config)) == (None, None)
    named = load_config(list_config, ["val_dataset.class_names=[a,b,c,d]"])
    assert build.dataset_facts(named) == (["a", "b", "c", "d"], None)


def test_a_resolved_config_gives_the_same_again(reference: Path, tmp_path: Path) -> None:
    from paddleseg.config.record import write_run_record

    config: Config = load_config(reference, ["test_config.scales=0.5,1.0"])
    write_run_record(config, tmp_path, 0, [])
    assert load_config(tmp_path / "config.yml").tree == config.tree


PLUGIN = """
from paddleseg.registry import LOSSES

@LOSSES.register
class PluginLoss:
    def __init__(self, ignore_index: int = 255, factor: float = 1.0):
        self.factor = factor

    def __call__(self, logits, labels):
        return logits.sum() * self.factor
"""


def test_a_loss_from_a_plugin(list_config: Path, tmp_path: Path) -> None:
    (tmp_path / "build_test_plugin.py").write_text(PLUGIN)
    overrides = [
        "plugins=[build_test_plugin]",
        "loss.types=[{type: PluginLoss, factor: 3}]",
        "loss.coef=[1,2]",
    ]
    loss = build.build_loss(load_config(list_config, overrides))
    ones = paddle.ones([1, 4, 1, 1])
    assert loss([ones, ones], paddle.zeros([1, 1, 1], dtype="int64")).total.item() == 4 * 3 * (1 + 2)


PEER_KEYS: dict[str, Any] = {
    "to_static_training": True,
    "test_config": {"aug_eval": True, "scales": 0.75, "auc_roc": True},
    "export": {"transforms": [{"type": "Resize", "target_size": [398, 224]}, {"type": "Normalize"}]},
    "distill_loss": None,
}


def test_the_dialects_other_keys_are_accepted(list_config: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.yml"
    path.write_text(yaml.safe_dump({"_base_": list_config.name, **PEER_KEYS}))
    settings = load_config(path).settings
    assert settings.to_static_training is True
    assert (settings.test_config.scales, settings.test_config.auc_roc) == (0.75, True)
    assert settings.export.transforms == PEER_KEYS["export"]["transforms"]
