"""Finding, reading and writing weight files."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import paddle
import pytest
import safetensors.numpy
from safetensors import SafetensorError

from paddleseg.errors import OutputError, WeightsError
from paddleseg.models.weight_files import find_weights, read_state, save_weights

STATE = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.zero_d": np.array(2.5)}


def pdparams() -> bytes:
    return pickle.dumps(STATE, protocol=4)


def assert_is_state(state: dict) -> None:
    assert sorted(state) == sorted(STATE)
    for name, array in STATE.items():
        np.testing.assert_array_equal(state[name], array)
        assert state[name].shape == array.shape


def make_archive(path: Path, members: dict[str, bytes], *extra: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    return path


# --- writing and reading back ---


@pytest.mark.parametrize("name", ["model.pdparams", "model.safetensors"])
def test_saved_is_read_back(name: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / name
    save_weights(STATE, path)
    assert_is_state(read_state(path))
    assert [file.name for file in path.parent.iterdir()] == [name]


@pytest.mark.parametrize("name", ["model.pdparams", "model.safetensors"])
def test_state_of_a_layer_is_read_by_other_libraries(name: str, tmp_path: Path) -> None:
    layer = paddle.nn.Linear(2, 3)
    save_weights(layer.state_dict(), tmp_path / name)
    if name.endswith(".pdparams"):
        other = paddle.load(str(tmp_path / name), return_numpy=True)
    else:
        from safetensors.numpy import load_file

        other = load_file(tmp_path / name)
    assert sorted(other) == ["bias", "weight"]
    np.testing.assert_array_equal(other["weight"], layer.weight.numpy())


def test_safetensors_layouts_and_bfloat16(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_weights(
        {
            "column_major": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            "strided": np.arange(10, dtype=np.int64)[::2],
            "bfloat16": paddle.to_tensor([1.0, -2.0]).astype("bfloat16"),
            "empty": np.zeros((0, 2), np.float32),
        },
        path,
    )
    state = read_state(path)
    np.testing.assert_array_equal(state["column_major"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(state["strided"], [0, 2, 4, 6, 8])
    np.testing.assert_array_equal(state["bfloat16"], np.array([1.0, -2.0], np.float32))
    assert state["empty"].shape == (0, 2)


def test_bfloat16_of_a_foreign_safetensors_file(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\x80\x3f\x00\xc0")
    np.testing.assert_array_equal(read_state(path)["w"], np.array([0x3F80, 0xC000], np.uint16))


@pytest.mark.parametrize("name", ["model.pdparams", "model.safetensors"])
def test_a_failed_save_leaves_the_earlier_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    save_weights(STATE, path)

    def fill_disk(state: object, file: str | Path) -> None:
        Path(file).write_bytes(b"half")
        message = os.strerror(errno.ENOSPC)
        raise OSError(errno.ENOSPC, message) if name.endswith(".pdparams") else SafetensorError(message)

    monkeypatch.setattr(paddle, "save", fill_disk)
    monkeypatch.setattr(safetensors.numpy, "save_file", fill_disk)
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        save_weights({"b": np.zeros(1)}, path)
    assert_is_state(read_state(path))
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["model.pdparams", "model.safetensors"])
def test_save_below_a_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="taken"):
        save_weights(STATE, tmp_path / "taken" / name)


# --- archives ---


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tgz", "x.tar"])
def test_archive_with_one_weights_file(name: str, tmp_path: Path) -> None:
    path = make_archive(
        tmp_path / name, {"m/README": b"", "m/._model.pdparams": b"", "m/model.pdparams": pdparams()}
    )
    assert_is_state(read_state(path))


def test_archive_with_safetensors(tmp_path: Path) -> None:
    save_weights(STATE, tmp_path / "x.safetensors")
    path = make_archive(tmp_path / "x.tar.gz", {"x.safetensors": (tmp_path / "x.safetensors").read_bytes()})
    state = read_state(path)
    np.testing.assert_array_equal(state["a.weight"], STATE["a.weight"])


def test_nothing_is_unpacked(tmp_path: Path) -> None:
    """A name that climbs out of the folder is only a name: the member is read where it is."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    path = make_archive(folder / "x.tar.gz", {"../../evil.pdparams": pdparams(), "../../evil.sh": b"echo"})
    assert_is_state(read_state(path))
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_not_followed(kind: bytes, tmp_path: Path) -> None:
    (tmp_path / "secret.pdparams").write_bytes(pdparams())
    member = tarfile.TarInfo("model.pdparams")
    member.type, member.linkname = kind, str(tmp_path / "secret.pdparams")
    path = make_archive(tmp_path / "x.tar.gz", {}, member)
    with pytest.raises(WeightsError, match=r"expected one .* file inside, found none"):
        read_state(path)


def test_archive_with_several_weights_files(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "x.tar.gz", {"a.pdparams": pdparams(), "b.pdparams": pdparams()})
    with pytest.raises(WeightsError, match=r"found a\.pdparams, b\.pdparams"):
        read_state(path)


def test_malicious_member_is_refused_by_name(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    attack = b"cos\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR."
    path = make_archive(tmp_path / "x.tar.gz", {"m/model.pdparams": attack})
    with pytest.raises(WeightsError, match=r"x\.tar\.gz \(m/model\.pdparams\): refused.*'os\.system'"):
        read_state(path)
    assert not canary.exists()


# --- broken files ---


@pytest.mark.parametrize("name", ["x.pdparams", "x.safetensors", "x.tar.gz"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.97])
def test_truncated(name: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / name
    noise = {"w": np.random.default_rng(0).random(5000)}  # too much to fit into one compressed block's tail
    if name.endswith(".tar.gz"):
        make_archive(path, {"model.pdparams": pickle.dumps(noise)})
    else:
        save_weights(noise, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(WeightsError, match=name):
        read_state(path)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_damaged_archive(share: float, tmp_path: Path) -> None:
    noise = pickle.dumps({"w": np.random.default_rng(0).random(5000)})
    path = make_archive(tmp_path / "x.tar.gz", {"model.pdparams": noise})
    data = bytearray(path.read_bytes())
    start = int(len(data) * share)
    data[start : start + 50] = b"\xff" * 50
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"x\.tar\.gz"):
        read_state(path)


def test_a_file_that_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "x.pdparams").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(WeightsError, match="holds a list, not a table"):
        read_state(tmp_path / "x.pdparams")


# --- finding ---


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (["model.pdparams", "model.pdopt", "other.pdparams"], "model.pdparams"),
        (["model.safetensors"], "model.safetensors"),
        (["best_model/model.pdparams", "iter_10/model.pdparams"], "best_model/model.pdparams"),
        (["resnet.pdparams", "notes.txt"], "resnet.pdparams"),
        (["model.pdparams", "best_model/model.pdparams"], "model.pdparams"),
    ],
)
def test_folder(present: list[str], expected: str, tmp_path: Path) -> None:
    touch(tmp_path, *present)
    assert find_weights(tmp_path) == tmp_path / expected


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (["a.pdparams", "b.safetensors"], r"more than one weights file \(a\.pdparams, b\.safetensors\)"),
        (["model.pdparams", "model.safetensors"], "more than one"),
        (["iter_10/model.pdparams", "log.txt"], r"holds no model\.pdparams.*inside: iter_10, log\.txt"),
        ([], "inside: nothing"),
    ],
)
def test_folder_that_does_not_say_which(present: list[str], expected: str, tmp_path: Path) -> None:
    touch(tmp_path, *present)
    with pytest.raises(WeightsError, match=expected):
        find_weights(tmp_path)


def test_file_and_missing_file(tmp_path: Path) -> None:
    touch(tmp_path, "any.name")
    assert find_weights(str(tmp_path / "any.name")) == tmp_path / "any.name"
    with pytest.raises(WeightsError, match="no such file or folder"):
        find_weights(tmp_path / "missing")
    with pytest.raises(WeightsError, match="cannot be read"):
        find_weights(tmp_path / ("x" * 5000))
