"""Matching of weights with a network, and the report of it."""

from __future__ import annotations

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn

from paddleseg.errors import WeightsError
from paddleseg.models.weights import check_weights, load_state, load_weights, save_weights


class Backbone(nn.Layer):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, width, 3, bias_attr=False)
        self.bn = nn.BatchNorm2D(width)


class Head(nn.Layer):
    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2D(width, num_classes, 1)


class Model(nn.Layer):
    """Stands for a segmentation network: the names of its parts are what matters."""

    def __init__(self, num_classes: int = 5, width: int = 4, *, has_aux: bool = True) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.backbone = Backbone(width)
        self.head = Head(width, num_classes)
        if has_aux:
            self.aux_head = Head(width, num_classes)


BACKBONE_NAMES = ("conv.weight", "bn.weight", "bn.bias", "bn._mean", "bn._variance")
HEAD_NAMES = ("head.conv.weight", "head.conv.bias", "aux_head.conv.weight", "aux_head.conv.bias")


def numbers(layer: nn.Layer, seed: int = 0) -> dict[str, np.ndarray]:
    """Random values for every tensor of a layer."""
    rng = np.random.default_rng(seed)
    return {name: rng.random(tensor.shape).astype(np.float32) for name, tensor in layer.state_dict().items()}


def values(layer: nn.Layer) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().copy() for name, tensor in layer.state_dict().items()}


def assert_loaded(layer: nn.Layer, expected: dict[str, np.ndarray]) -> None:
    current = values(layer)
    for name, array in expected.items():
        np.testing.assert_array_equal(current[name], array, err_msg=name)


def load(layer: nn.Layer, state: dict[str, Any], **options: Any) -> Any:
    return load_state(layer, state, origin="file", **options)


# --- what fits ---


def test_whole_model() -> None:
    model, state = Model(), numbers(Model())
    report = load(model, state, strict=True)
    assert_loaded(model, state)
    assert report.loaded == tuple(model.state_dict())
    assert (report.missing, report.unexpected, report.mismatched, report.reinitialised) == ((), (), (), ())
    assert report.summary() == "loaded 9 of the model's 9 tensors from file"


def test_backbone_with_a_classifier_of_its_own() -> None:
    backbone = Backbone()
    state = {**numbers(backbone), "out.weight": np.zeros((4, 1000)), "out.bias": np.zeros(1000)}
    report = load(backbone, state)
    assert_loaded(backbone, numbers(backbone))
    assert report.unexpected == ("out.weight", "out.bias")
    assert report.summary() == (
        "loaded 5 of the model's 5 tensors from file; 2 of the file have no place in it: out.weight, out.bias"
    )


def test_backbone_takes_its_part_of_a_whole_model() -> None:
    backbone, state = Backbone(), numbers(Model())
    report = load(backbone, state)
    assert_loaded(backbone, {name: state[f"backbone.{name}"] for name in BACKBONE_NAMES})
    assert report.loaded == BACKBONE_NAMES
    assert sorted(report.unexpected) == sorted(HEAD_NAMES)


def test_model_takes_the_weights_of_a_bare_backbone() -> None:
    model, state = Model(), numbers(Backbone())
    before = values(model)
    report = load(model, state)
    assert_loaded(model, {f"backbone.{name}": array for name, array in state.items()})
    assert_loaded(model, {name: before[name] for name in HEAD_NAMES})
    assert report.loaded == tuple(f"backbone.{name}" for name in BACKBONE_NAMES)
    assert sorted(report.missing) == sorted(HEAD_NAMES)
    assert "4 not in the file, left as they were: " in report.summary()


def test_prefix() -> None:
    model, state = Model(), numbers(Model())
    taught = {f"teacher.{name}": array for name, array in state.items()} | {"student.x": np.zeros(1)}
    report = load(model, taught, prefix="teacher.")
    assert_loaded(model, state)
    assert report.unexpected == ("student.x",)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.dtype(">f4")])
def test_float_types_are_converted(dtype: Any) -> None:
    backbone, state = Backbone(), numbers(Backbone())
    load(backbone, {name: array.astype(dtype) for name, array in state.items()})
    assert_loaded(backbone, {name: array.astype(dtype).astype(np.float32) for name, array in state.items()})
    assert all(tensor.dtype == paddle.float32 for tensor in backbone.state_dict().values())


def test_bfloat16_in_the_file_and_in_the_model() -> None:
    layer = nn.Linear(2, 2)
    bits = np.array([[0x3F80, 0xC000], [0x3F00, 0x0000]], np.uint16)  # 1, -2, 0.5, 0
    load(layer, {"weight": bits, "bias": np.zeros(2, np.float64)})
    np.testing.assert_array_equal(layer.weight.numpy(), [[1.0, -2.0], [0.5, 0.0]])
    layer.bfloat16()
    load(layer, {"weight": np.array([[0.25, 4.0], [8.0, -1.0]]), "bias": np.zeros(2)})
    assert layer.weight.dtype == paddle.bfloat16
    np.testing.assert_array_equal(layer.weight.astype("float32").numpy(), [[0.25, 4.0], [8.0, -1.0]])


# --- what does not ---


def test_nothing_matches() -> None:
    with pytest.raises(WeightsError, match=r"nothing in it fits.*file has a, b; the model has conv\.weight"):
        load(Backbone(), {"a": np.zeros(1), "b": np.zeros(1)})
    with pytest.raises(WeightsError, match="The file has nothing;"):
        load(Backbone(), {})


def test_other_class_count_names_both_numbers() -> None:
    model = Model(num_classes=5)
    before = values(model)
    with pytest.raises(WeightsError, match=r"for 19 classes, the model has 5: .*--allow_mismatch") as caught:
        load(model, numbers(Model(num_classes=19)))
    assert "head.conv.weight (file [19, 4, 1, 1], model [5, 4, 1, 1])" in str(caught.value)
    assert_loaded(model, before)


def test_other_class_count_leaves_just_the_classifiers() -> None:
    model, state = Model(num_classes=5), numbers(Model(num_classes=19))
    before = values(model)
    report = load(model, state, allow_mismatch=True, strict=True)
    assert_loaded(model, {name: array for name, array in state.items() if name.startswith("backbone.")})
    assert_loaded(model, {name: before[name] for name in HEAD_NAMES})
    assert sorted(report.reinitialised) == sorted(HEAD_NAMES)
    assert [(m.got[0], m.expected[0]) for m in report.mismatched] == [(19, 5)] * 4
    assert "because the file has 19 classes and the model 5" in report.summary()


@pytest.mark.parametrize("allow_mismatch", [False, True])
@pytest.mark.parametrize("name", ["backbone.conv.weight", "backbone.bn._mean", "head.conv.weight"])
def test_other_shapes_are_never_let_pass(name: str, allow_mismatch: bool) -> None:
    model, state = Model(), numbers(Model())
    before = values(model)
    shape = list(state[name].shape)
    shape[-1] += 1
    state[name] = np.zeros(shape, np.float32)
    with pytest.raises(WeightsError, match=rf"1 tensors have another shape.*{name} \(file"):
        load(model, state, allow_mismatch=allow_mismatch)
    assert_loaded(model, before)


def test_a_width_that_differs_like_a_class_count_is_no_class_count() -> None:
    """The backbone's own tensors differ in the first axis only, and by the same numbers."""
    model, state = Model(num_classes=4, width=4), numbers(Model(num_classes=4, width=4))
    state["backbone.bn._mean"] = np.zeros(19, np.float32)
    with pytest.raises(WeightsError, match="another shape"):
        load(model, state, allow_mismatch=True)


def test_classifiers_that_disagree_with_one_another() -> None:
    model, state = Model(num_classes=5), numbers(Model(num_classes=19))
    state["aux_head.conv.bias"] = np.zeros(7, np.float32)
    with pytest.raises(WeightsError, match="4 tensors have another shape"):
        load(model, state, allow_mismatch=True)


def test_strict_wants_everything() -> None:
    state = numbers(Model())
    del state["head.conv.bias"]
    model = Model()
    before = values(model)
    with pytest.raises(WeightsError, match=r"1 tensors are missing: head\.conv\.bias"):
        load(model, state, strict=True)
    assert_loaded(model, before)
    with pytest.raises(WeightsError, match="does not hold the whole model"):
        load(model, numbers(Backbone()), strict=True)


def test_strict_refuses_a_larger_network_but_not_a_further_head() -> None:
    state = numbers(Model())
    assert len(load(Model(has_aux=False), state, strict=True).unexpected) == 2
    state["backbone.stage9.weight"] = np.zeros(3)
    with pytest.raises(WeightsError, match=r"larger model; 1 of its tensors.*backbone\.stage9\.weight"):
        load(Model(has_aux=False), state, strict=True)


@pytest.mark.parametrize("dtype", ["int32", "complex64", "bool"])
def test_numbers_of_another_kind(dtype: str) -> None:
    backbone, state = Backbone(), numbers(Backbone())
    before = values(backbone)
    state["bn._variance"] = np.ones(4, dtype)  # the last one: nothing before it may have been loaded
    with pytest.raises(WeightsError, match=rf"bn\._variance holds {dtype} numbers"):
        load(backbone, state)
    assert_loaded(backbone, before)


def test_values_that_are_no_arrays_are_reported() -> None:
    state = {**numbers(Backbone()), "LR_Scheduler": {"last_lr": 0.1}, "epoch": 3}
    assert load(Backbone(), state).unexpected == ("LR_Scheduler", "epoch")


def test_long_lists_are_counted_by_part() -> None:
    state = numbers(Backbone()) | {f"fc.{i}": np.zeros(1) for i in range(12)}
    assert "12 of the file have no place in it: fc (12)" in load(Backbone(), state).summary()


# --- sources ---


@pytest.mark.parametrize("name", ["model.pdparams", "model.safetensors"])
def test_file_and_folder(name: str, tmp_path: Path) -> None:
    source = Model()
    save_weights(source.state_dict(), tmp_path / name)
    for path in (tmp_path / name, str(tmp_path)):
        model = Model()
        report = load_weights(model, path, strict=True)
        assert_loaded(model, values(source))
        assert report.source == str(path)


def test_local_checksum(tmp_path: Path) -> None:
    path = tmp_path / "model.pdparams"
    save_weights(Backbone().state_dict(), path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    load_weights(Backbone(), path, sha256=sha256.upper())
    with pytest.raises(WeightsError, match=f"its SHA-256 is {sha256}, expected {'0' * 64}"):
        load_weights(Backbone(), path, sha256="0" * 64)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


def test_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    source = Backbone()
    save_weights(source.state_dict(), tmp_path / "www" / "model.pdparams")
    handler = partial(QuietHandler, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        url = f"http://127.0.0.1:{server.server_port}/model.pdparams"
        backbone = Backbone()
        with pytest.raises(WeightsError, match=f"expected {'0' * 64}"):
            load_weights(Backbone(), f"{url}#sha256={'0' * 64}", cache_dir=tmp_path / "cache")
        report = load_weights(backbone, url, cache_dir=tmp_path / "cache")
        server.shutdown()
    assert_loaded(backbone, values(source))
    assert report.source == url


def test_path_of_pathlib_is_not_taken_for_a_url(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file or folder"):
        load_weights(Backbone(), tmp_path / "missing.pdparams")


def test_the_number_of_classes_may_be_told_from_outside(tmp_path: Path) -> None:
    model = Model(num_classes=5)
    del model.num_classes
    path = tmp_path / "city.pdparams"
    save_weights(numbers(Model(num_classes=19)), path)
    with pytest.raises(WeightsError, match="another shape"):
        load_weights(model, path)
    with pytest.raises(WeightsError, match="for 19 classes, the model has 5"):
        load_weights(model, path, num_classes=5)
    assert load_weights(model, path, num_classes=5, allow_mismatch=True).reinitialised == HEAD_NAMES


def test_weights_are_checked_without_loading_them(tmp_path: Path) -> None:
    with paddle.LazyGuard():
        model = Model(num_classes=5)
    good, other, strange = (tmp_path / f"{name}.pdparams" for name in ("good", "other", "strange"))
    save_weights(numbers(Model(num_classes=5)), good)
    save_weights(numbers(Model(num_classes=19)), other)
    save_weights({"x": np.zeros(3, np.float32)}, strange)
    check_weights(model, str(good))
    check_weights(model, str(other), allow_mismatch=True)
    check_weights(model, "https://localhost/not/in/the/cache.pdparams")
    with pytest.raises(WeightsError, match="for 19 classes, the model has 5"):
        check_weights(model, str(other))
    with pytest.raises(WeightsError, match="nothing in it fits"):
        check_weights(model, str(strange))
    with pytest.raises(WeightsError, match="no such file"):
        check_weights(model, str(tmp_path / "gone"))
