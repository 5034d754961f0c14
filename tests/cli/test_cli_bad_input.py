"""Bad input: one message that says what to do, exit status 2, no traceback, nothing left behind."""

from __future__ import annotations

import errno
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import paddle
import pytest
from small_project import Project

from paddleseg.cli import train
from paddleseg.data.sampler import TrainBatchSampler
from paddleseg.engine.checkpoint import read_checkpoint
from paddleseg.errors import PaddleSegError

PROGRAMS = ("train", "val", "predict", "export")
CHECKPOINT_FILES = {"manifest.json", "model.pdopt", "model.pdparams", "run.json", "state.json"}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no configuration file"),
        (b"\x80\x04\x95\xff\xfe\x00", "is not UTF-8 text"),
        ("# Größe\nx: 1\n".encode("latin-1"), "is not UTF-8 text"),
        (b"iters: [1, 2\nmodel:\n", "not valid YAML"),
        (b"iters: 1\x00\n", "not valid YAML"),
        (b"", "expected a YAML mapping such as 'iters: 1000', got nothing"),
        (b"- iters: 1\n", "expected a YAML mapping such as 'iters: 1000', got a list"),
        (b"_base_: nowhere.yml\n", "config.yml:1 _base_: no configuration file"),
        (b"_base_: config.yml\n", "files inherit in a circle"),
    ],
)
def test_config_that_cannot_be_read(
    project: Project, program: str, content: bytes | None, message: str
) -> None:
    project.config.unlink()
    if content is not None:
        project.config.write_bytes(content)
    before = project.files()
    project.run(program).refused(str(project.config), message)
    assert project.files() == before


@pytest.mark.parametrize("program", PROGRAMS)
def test_config_that_is_a_folder(project: Project, program: str) -> None:
    project.run(program, "--config", project.root).refused("is a folder; expected a YAML file")


@pytest.mark.parametrize("program", PROGRAMS)
def test_all_mistakes_of_a_config_at_once_with_their_lines(project: Project, program: str) -> None:
    project.replace("iters: 4", "itres: 4")
    project.replace("type: SGD", "type: SDG")
    project.replace("learning_rate: 0.01", "learning_rate: fast")
    project.replace("crop_size: [16, 12]", "crop_size: [16]")
    project.replace("coef: [1]", "coef: 1")
    before = project.files()
    at = f"{project.config}:"
    project.run(program).refused(
        f"{at}2 itres: unknown key at the top level; did you mean 'iters'?",
        f"{at}11 train_dataset.transforms[0]",
        f"{at}21 optimizer.type: no optimizer 'SDG'; did you mean 'SGD'?",
        f"{at}25 lr_scheduler.learning_rate: got 'fast'; expected a number",
        f"{at}29 loss.coef: got 1; expected a list",
    )
    assert project.files() == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--itres 3", "unknown argument '--itres'; did you mean '--iters'?"),
        ("stray", "unknown argument 'stray'"),
        ("--iters 0", "--iters: got 0; expected at least 1"),
        ("--iters 1.5", "--iters: got '1.5'; expected a whole number"),
        ("--batch_size 0", "--batch_size: got 0; expected at least 1"),
        ("--batch_size 7", "6 samples, fewer than the 7"),
        ("--save_interval 0", "--save_interval: got 0"),
        ("--keep_checkpoint_max -1", "--keep_checkpoint_max: got -1; expected at least 0"),
        ("--num_workers -1", "--num_workers: got -1"),
        ("--learning_rate -1", "--learning_rate: PolynomialDecay: "),
        ("--learning_rate nan", "--learning_rate: got nan; expected a number"),
        ("--learning_rate inf", "--learning_rate: got inf; expected a number"),
        ("--seed -1", "--seed: got -1; expected a whole number from 0 to 4294967295"),
        ("--seed 99999999999999999999", "--seed: got 99999999999999999999"),
        ("--threads 0", "--threads: got 0"),
        ("--device tpu", "--device: invalid choice: 'tpu'"),
        ("--device xpu", "--device xpu: this toolkit runs on cpu and gpu"),
        ("--opts", "--opts: expected at least one argument"),
        ("--opts iters", "--opts iters: expected key=value"),
        ("--opts a..b=1", "--opts a..b: expected names separated by single dots"),
        ("--opts iters.x=1", "--opts iters.x: iters is 4, which has no entries"),
        ("--opts loss.types.3.type=X", "loss.types is a list with 1 entries; '3' is not the index of one"),
        ("--opts iters=[1", "not valid YAML"),
        ("--opts test_config.use_multilabel=True", "multi-label output is not supported"),
        ("--opts model.num_classes=4", "got 4, but train_dataset.num_classes is 3"),
        ("--opts val_dataset.num_classes=4", "got 4, but train_dataset.num_classes is 3"),
        ("--opts train_dataset.transforms.0.crop_size=[64,64]", "larger than every image"),
        ("--accumulate 0", "--accumulate: got 0; expected at least 1"),
        ("--accumulate many", "--accumulate: got 'many'; expected a whole number"),
        ("--accumulate auto", "accumulate: auto needs global_batch_size"),
        (
            "--accumulate auto --opts global_batch_size=5",
            "accumulate: auto cannot make global_batch_size 5 out of batch_size 2 × 1 processes",
        ),
        ("--accumulate 4", "6 samples, fewer than the 8 of one iteration (batch_size 2"),
        ("--precision fp64", "--precision: invalid choice: 'fp64'"),
        ("--amp_level O3", "--amp_level: invalid choice: 'O3'"),
        ("--opts on_non_finite=lower_scale", "on_non_finite: lower_scale needs precision: fp16"),
        ("--opts on_non_finite=pass", "on_non_finite: got 'pass'; expected one of 'stop', 'skip'"),
        ("--opts on_bad_sample=1", "on_bad_sample: got 1; expected one of 'stop', 'skip'"),
        ("--opts gpu_autotune=true", "gpu_autotune: true has no meaning on cpu"),
        ("--opts worker_timeout=0", "worker_timeout: got 0; expected a number above 0"),
        ("--use_ema --opts ema_decay=1", "ema_decay: got 1; expected a number of at least 0 and below 1"),
        ("--opts recompute=True to_static_training=True", "recompute: does not go with to_static_training"),
        ("--to_static_training --opts recompute=True", "recompute: does not go with to_static_training"),
        ("--opts recompute=True", "recompute: TinyNet has no method enable_recompute; set it to false"),
        (
            "--profiler_options batch_range=[3,1]",
            "--profiler_options: batch_range=[3,1]: expected [first,end]",
        ),
        ("--profiler_options stat=CPU", "--profiler_options: no option 'stat'; did you mean 'state'?"),
        ("--profiler_options state=GPU", "--profiler_options: state=GPU, but the run is on cpu"),
        ("--resume_model nowhere", "--resume_model nowhere: no such folder; expected one named iter_N"),
        ("--resume_model {root}/data", "cannot resume from"),
        ("--save_dir=", "--save_dir: the value is empty"),
        ("--save_dir {root}/config.yml", "this is a file; name a folder"),
        ("--save_dir {root}/config.yml/below", "cannot be written (Not a directory)"),
        ("--save_dir /proc/nowhere/below", "cannot be written"),
        ("--save_dir {root}/{long}", "cannot be written (File name too long)"),
        ("--config {root}/{long}", "cannot read"),
    ],
)
def test_training_that_cannot_start(project: Project, flags: str, message: str) -> None:
    before = project.files()
    flags = flags.replace("{root}", str(project.root)).replace("{long}", "x" * 300)
    project.run("train", *flags.split()).refused(message)
    assert project.files() == before


@pytest.mark.parametrize(
    ("program", "flags", "message"),
    [
        ("val", "--scales 0", "--scales: got [0.0]; expected a number above 0"),
        ("val", "--scales nan", "--scales: got [nan]"),
        ("val", "--scales big", "--scales: invalid float value: 'big'"),
        ("val", "--is_slide", "--is_slide test_config.crop_size: missing"),
        ("val", "--crop_size 8 8", "test_config.stride: missing"),
        ("val", "--crop_size 8", "--crop_size: expected 2 arguments"),
        ("val", "--crop_size -8 8 --stride 4 4", "--crop_size: got [-8, 8]"),
        ("val", "--crop_size 8 8 --stride 9 8", "--stride: got [9, 8]; expected at most crop_size [8, 8]"),
        ("val", "--auc_roc maybe", "'maybe' is neither True nor False"),
        ("predict", "--custom_color 1 2", "--custom_color: got 2 numbers; expected three"),
        ("predict", "--custom_color 1 2 300", "--custom_color: got [1, 2, 300]"),
        ("predict", "--custom_color red", "--custom_color: invalid int value: 'red'"),
        ("predict", "--image_path=", "--image_path: the value is empty"),
        ("predict", "--image_path nowhere", "no image found; expected an image, a folder"),
        ("predict", "--image_path {root}/data/labels/none*.png", "no image found"),
        ("predict", "--image_path {root}/empty", "no image found"),
        ("predict", "--image_path {root}/{long}", "File name too long"),
        ("export", "--input_shape 1 4 16 16", "expected N 3 H W"),
        ("export", "--input_shape 1 3 0 16", "expected N 3 H W"),
        ("export", "--input_shape 1 3 16", "--input_shape: expected 4 arguments"),
        ("export", "--output_op sigmoid", "--output_op: invalid choice: 'sigmoid'"),
    ],
)
def test_inference_that_cannot_start(project: Project, program: str, flags: str, message: str) -> None:
    (project.root / "empty").mkdir()
    before = project.files()
    flags = flags.replace("{root}", str(project.root)).replace("{long}", "x" * 300)
    project.run(program, *flags.split()).refused(message)
    assert project.files() == before


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_the_flags_that_it_needs(project: Project, program: str) -> None:
    project.run_bare(program).refused("the following arguments are required: --config", f"{program}.py")


def test_device_that_is_not_there(project: Project) -> None:
    if paddle.device.is_compiled_with_cuda() and paddle.device.cuda.device_count():
        pytest.skip("there is a GPU")
    for program in PROGRAMS:
        before = project.files()
        project.run(program, "--device", "gpu").refused("--device gpu: ", "use --device cpu")
        assert project.files() == before
    project.run("predict", "--device", "auto", "--device_id", 99).refused("--device_id 99: there are 0 GPUs")


def test_all_missing_files_at_once(project: Project) -> None:
    project.replace(f"dataset_root: {project.root}/data", "dataset_root: nowhere")
    project.replace(f"val_path: {project.root}/data/val.txt", "val_path: none.txt")
    project.replace("type: TinyNet", "type: TinyNet\n  pretrained: gone.pdparams")
    before = project.files()
    at = f"{project.config}:"
    project.run("train", "--do_eval").refused(
        f"{at}6 train_dataset.dataset_root: no folder 'nowhere'; correct the path",
        f"{at}16 val_dataset.val_path: no list file 'none.txt'",
        f"{at}32 model.pretrained: no file or folder 'gone.pdparams'",
    )
    assert project.files() == before
    # What a run does not use need not be there: val.py has its own weights and no training data.
    project.replace("val_path: none.txt", f"val_path: {project.root}/data/val.txt")
    assert project.run("val").status == 0


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "the list is empty"),
        ("\n\n", "the list is empty"),
        ("images/train0.png\n", "train.txt:1: expected 'image label', got 1 column(s)"),
        ("images/train0.png labels/gone.png\n", "1 of 2 files do not exist:"),
        ("images/a b.png labels/train0.png\n", "set separator"),
    ],
)
def test_list_file(project: Project, lines: str, message: str) -> None:
    (project.root / "data" / "train.txt").write_text(lines)
    before = project.files()
    project.run("train").refused(message)
    assert project.files() == before


def spoil(project: Project, what: str, *, seed: int) -> Path:
    """Damages a file of the last batch of an epoch of three."""
    *_, last = TrainBatchSampler(6, batch_size=2, seed=seed, iterations=3)
    name = f"train{last[1].index}.png"
    if what == "image":
        path = project.images / name
        path.write_bytes(path.read_bytes()[:60])
        return path
    path = project.root / "data" / "labels" / name
    if what == "label":
        path.write_bytes(b"no picture")
    elif what == "size":
        project.write(f"data/labels/{name}", np.zeros((15, 21), np.uint8))
    else:
        project.write(f"data/labels/{name}", np.full((15, 20), 7, np.uint8))
    return path


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("image", "cannot be decoded"),
        ("label", "the label cannot be read"),
        ("size", "must be the same size"),
        ("range", "7"),
    ],
)
def test_bad_file_in_the_middle_of_training(project: Project, what: str, message: str, workers: int) -> None:
    path = spoil(project, what, seed=3)
    flags = ["--seed", 3, "--save_interval", 1, "--num_workers", workers, "--no_data_check"]
    outcome = project.run("train", *flags)
    outcome.refused(str(path), message)
    assert "iter_2/state.json" in {file.removeprefix("output/") for file in project.files()}
    assert not {file for file in project.files() if "iter_3" in file or "tmp" in Path(file).name}
    # The checkpoint before is whole: with the file put right, training goes on from it.
    project._write_data(np.random.default_rng(0))
    assert project.run("train", "--resume_model", project.save_dir / "iter_2").status == 0


@pytest.mark.parametrize(
    ("what", "parts"),
    [
        ("label", ["labels that cannot be read: 1", "export them again"]),
        ("size", ["labels that are not as large as their images: 1", "20×15, its label 21×15"]),
        ("range", ["labels with values 7, expected 0..2", "num_classes: 8, or label_map"]),
    ],
)
@pytest.mark.parametrize("split", ["train", "val"])
def test_wrong_labels_are_refused_before_the_first_iteration(
    project: Project, what: str, parts: list[str], split: str
) -> None:
    path = spoil(project, what, seed=3)
    if split == "val":  # the lists change places
        text = project.config.read_text()
        text = text.replace("train.txt", "other").replace("val.txt", "train.txt").replace("other", "val.txt")
        project.config.write_text(text)
    outcome = project.run("train", "--do_eval")
    outcome.refused(f"{split}_dataset: ", *parts, "tools/check_dataset.py --config", "--no_data_check")
    assert path.name in outcome.err
    assert not [file for file in project.files() if "iter_" in file]


class Exploit:
    """Unpickled carelessly, it makes a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.proof),)


@pytest.mark.parametrize("program", ["val", "predict", "export"])
def test_weights_that_cannot_be_used(project: Project, program: str) -> None:
    root, proof = project.root, project.root / "proof"
    other = {"head.weight": np.zeros((3, 4, 1, 1), np.float32), "head.bias": np.zeros(3, np.float32)}
    wrong: dict[str, object] = {
        "stranger": {"stem.weight": np.zeros((4, 4), np.float32)},
        "classes": {"head.weight": np.zeros((5, 3, 1, 1), np.float32), "head.bias": np.zeros(5, np.float32)},
        "channels": other,
        "part": {"head.weight": np.zeros((3, 3, 1, 1), np.float32)},
        "list": [1, 2],
        "evil": {"head.weight": Exploit(proof)},
    }
    for name, state in wrong.items():
        (root / f"{name}.pdparams").write_bytes(pickle.dumps(state, protocol=4))
    (root / "empty.pdparams").touch()
    (root / "cut.pdparams").write_bytes(project.weights.read_bytes()[:-20])
    (root / "text.pdparams").write_text("version https://git-lfs")
    (root / "folder").mkdir()
    before = project.files()
    for path, message in {
        "gone.pdparams": "no such file or folder",
        "folder": "holds no model.pdparams",
        "empty.pdparams": "not a weights file",
        "cut.pdparams": "not a weights file",
        "text.pdparams": "not a weights file",
        "list.pdparams": "not a table of named arrays",
        "evil.pdparams": "Nothing of it was run",
        "stranger.pdparams": "stranger.pdparams",
        "classes.pdparams": "these weights are for 5 classes, the model has 3",
        "channels.pdparams": "head.weight (file [3, 4, 1, 1], model [3, 3, 1, 1])",
        "part.pdparams": "does not hold the whole model",
    }.items():
        project.run(program, "--model_path", root / path).refused(str(root / path), message)
    project.run(program, "--model_path", "http://127.0.0.1:9/x.pdparams").refused(
        "cannot download", "put the"
    )
    project.run(program, "--model_path", "ftp://127.0.0.1/x").refused("not an http:// or https:// address")
    assert project.files() == before
    assert not proof.exists()


def test_checkpoint_that_cannot_be_resumed(project: Project) -> None:
    assert project.run("train", "--iters", 2).status == 0
    checkpoint, again = project.save_dir / "iter_2", ["--save_dir", project.root / "again"]
    kept = {file.name: file.read_bytes() for file in checkpoint.iterdir()}
    for name, content, message in [
        ("model.pdopt", None, "there is no model.pdopt"),
        ("model.pdparams", b"", "model.pdparams has 0 bytes, expected "),
        ("model.pdopt", kept["model.pdopt"][:-9], "model.pdopt has "),
        ("state.json", b"{", "state.json has 1 bytes"),
        ("run.json", kept["run.json"].replace(b"1", b"2", 1), "run.json"),
        ("manifest.json", b"{", "manifest.json"),
        ("manifest.json", None, "there is no manifest.json"),
    ]:
        file = checkpoint / name
        file.unlink() if content is None else file.write_bytes(content)
        project.run("train", "--resume_model", checkpoint, *again).refused(
            f"cannot resume from {checkpoint}: ", message
        )
        outcome = project.run("train", "--iters", 2, "--resume_model", "auto")  # starts anew, and replaces it
        assert outcome.status == 0, outcome.err
        assert "[RESUME] passed over: " in outcome.out
        assert str(checkpoint) in outcome.out
    project.run("train", "--resume_model", project.config, *again).refused("no such folder")
    assert not (project.root / "again").exists()


def test_broken_images_are_reported_and_the_rest_go_on(project: Project) -> None:
    (project.images / "val0.png").write_bytes(b"no picture")
    images = project.root / "list.txt"
    images.write_text("data/images/val0.png\ndata/images/val1.png\ndata/images/gone.png\n")
    outcome = project.run("predict", "--image_path", images)
    assert outcome.status == 1
    assert "Traceback" not in outcome.err + outcome.out
    assert "gone.png" in outcome.out
    assert "val0.png" in outcome.out
    assert "1 of 3 images" in outcome.out
    assert [path.name for path in project.save_dir.rglob("label/**/*.png")] == ["val1.png"]


def test_bad_image_in_the_middle_of_an_evaluation(project: Project) -> None:
    (project.images / "val1.png").write_bytes(b"no picture")
    before = project.files()
    project.run("val").refused("val1.png", "cannot be decoded")
    assert project.files() == before


def test_earlier_results_survive_a_run_that_cannot_start(project: Project) -> None:
    assert project.run("train", "--iters", 2).status == 0
    names = ["config.yml", "environment.json", "metrics.jsonl", "iter_2/model.pdparams"]
    before = [(project.save_dir / name).read_bytes() for name in names]
    project.run("train", "--batch_size", 7).refused("fewer than the 7")
    assert [(project.save_dir / name).read_bytes() for name in names] == before


def test_full_disk_while_a_checkpoint_is_written(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = []

    def save(state: object, path: str, save: object = paddle.save) -> None:
        saved.append(path)
        if len(saved) > 2:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", path)
        save(state, path)  # type: ignore[operator]

    with monkeypatch.context() as patch:
        patch.setattr(paddle, "save", save)
        project.run("train", "--save_interval", 2).refused("No space left on device", "iter_4")
    assert {file for file in project.files() if Path(file).parent.name == "iter_2"} == {
        f"output/iter_2/{name}" for name in CHECKPOINT_FILES
    }
    assert not {file for file in project.files() if "iter_4" in file}
    outcome = project.run("train", "--save_interval", 2, "--resume_model", "auto")
    assert outcome.status == 0, outcome.err
    assert "iter_2: going on after iteration 2" in outcome.out


@pytest.mark.parametrize("program", PROGRAMS)
def test_write_error_anywhere_is_a_message(
    project: Project, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    def fail(*args: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("write_text", "write_bytes"):
        monkeypatch.setattr(Path, name, fail)
    before = project.files()
    project.run(program).refused("No space left on device")
    assert project.files() == before


def test_a_bug_keeps_its_traceback(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for bug in (ValueError("bug"), OSError(errno.EBADF, "bug"), KeyError("bug"), RuntimeError("bug")):
        monkeypatch.setattr(train, "_check_resume_folder", lambda path, bug=bug: (_ for _ in ()).throw(bug))
        with pytest.raises(type(bug), match="bug"):
            project.run("train")
    monkeypatch.setattr(
        train, "_check_resume_folder", lambda path: (_ for _ in ()).throw(PaddleSegError("yours"))
    )
    project.run("train").refused("error: yours")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError("Unable to allocate 9.00 GiB"), "out of memory: lower batch_size"),
        (RuntimeError("(ResourceExhausted) Fail to alloc memory"), "out of memory: lower batch_size"),
        (OSError("(External) CUDA error(2), out of memory."), "out of memory: lower batch_size"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out of memory: lower batch_size"),
        (OSError(errno.EIO, "Input/output error", "disk"), "disk: Input/output error"),
    ],
)
def test_failing_hardware_is_a_message(
    project: Project, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    monkeypatch.setattr(train, "_check_resume_folder", lambda path: (_ for _ in ()).throw(error))
    project.run("train").refused(message)


PLUGIN = """
from paddleseg.registry import LOSSES, TRANSFORMS

@TRANSFORMS.register
class Darken:
    invertible = True
    def __init__(self, factor: float = 0.5) -> None:
        self.factor = factor
    def __call__(self, sample, rng):
        sample.image = sample.image * self.factor
        return sample

@LOSSES.register
class MeanLogit:
    def __init__(self, ignore_index: int = 255) -> None:
        pass
    def __call__(self, logits, labels):
        return (logits ** 2).mean()
"""


def test_a_users_loss_and_transform(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "my_module", raising=False)
    (project.root / "my_module.py").write_text(PLUGIN)
    project.replace("plugins: [tiny_net]", "plugins: [tiny_net, my_module]")
    project.replace("- type: CrossEntropyLoss", "- type: MeanLogit")
    project.replace("- type: Normalize", "- type: Darken\n      factor: 0.25\n    - type: Normalize")
    outcome = project.run("train", "--log_iters", 1)
    assert outcome.status == 0, outcome.err
    assert "MeanLogit" in (project.save_dir / "metrics.jsonl").read_text()
    assert "my_module.py" in (project.save_dir / "config.yml").read_text()
    project.replace("factor: 0.25", "factr: 0.25")
    project.run("train").refused("unknown parameter of Darken; did you mean 'factor'?")


def test_a_plugin_that_fails(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.replace("plugins: [tiny_net]", "plugins: [tiny_net, broken_module, no_module]")
    (project.root / "broken_module.py").write_text("1 / 0\n")
    project.run("train").refused("'broken_module': ZeroDivisionError", "'no_module': ModuleNotFoundError")


def metrics(project: Project) -> list[dict[str, object]]:
    """All numbers but the times, which no two runs share."""
    file = project.save_dir / "metrics.jsonl"
    lines = file.read_text().splitlines() if file.is_file() else []
    times = ("Time/", "Train/batch_cost", "Train/reader_cost")
    return [{k: v for k, v in json.loads(line).items() if not k.startswith(times)} for line in lines]


def state(folder: Path) -> dict[str, list[float]]:
    """Every array of a checkpoint."""
    checkpoint = read_checkpoint(folder)
    assert checkpoint.ema is not None
    tables = {"model": checkpoint.model, "optimizer": checkpoint.optimizer, "ema": checkpoint.ema}
    return {f"{name}/{key}": np.asarray(v).tolist() for name, t in tables.items() for key, v in t.items()}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_resumed_run_ends_as_if_nothing_had_happened(
    project: Project, number: signal.Signals
) -> None:
    plugin, slow = project.root / "tiny_net.py", project.root / "slow"
    wait = f"        import pathlib, time; time.sleep(0.2 * pathlib.Path({str(slow)!r}).exists())\n"
    forward = "        return [self.head(x)]\n"
    assert forward in plugin.read_text()
    plugin.write_text(plugin.read_text().replace(forward, wait + forward))
    slow.touch()
    flags = ("--iters", 20, "--save_interval", 8, "--log_iters", 1, "--use_ema", "--resume_model", "auto")
    process = project.start("train", *flags)
    for _ in range(1200):
        if len(metrics(project)) > 2 or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(number)
    process.send_signal(number)  # as launchers and schedulers do
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + number, ""), out
    (folder,) = project.save_dir.glob("*iter_*")
    done = int(folder.name.removeprefix("iter_"))
    assert f"[STOP] {number.name}: finishing the iteration, then saving" in out
    assert f"[STOP] {number.name}: iteration {done} is saved; go on with" in out.splitlines()[-1]
    assert "--resume_model auto" in out.splitlines()[-1]
    assert {file.name for file in folder.iterdir()} == CHECKPOINT_FILES | {"ema.pdparams"}
    assert [row["iter"] for row in metrics(project)] == list(range(1, done + 1))

    slow.unlink()
    outcome = project.run("train", *flags)
    assert outcome.status == 0, outcome.err
    assert f"going on after iteration {done}" in outcome.out
    numbers = metrics(project)
    arrays = state(project.save_dir / "iter_20")
    project.save_dir.rename(project.root / "interrupted")
    assert project.run("train", *flags).status == 0
    assert metrics(project) == numbers
    assert state(project.save_dir / "iter_20") == arrays


@pytest.mark.slow
def test_ctrl_c_before_training_begins_is_short(project: Project) -> None:
    (project.root / "slow_module.py").write_text("import time\nprint('here', flush=True)\ntime.sleep(60)\n")
    project.replace("plugins: [tiny_net]", "plugins: [tiny_net, slow_module]")
    process = project.start("train")
    assert process.stdout is not None
    assert "here" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "interrupted\n")


@pytest.mark.slow
def test_closed_pipe_ends_the_program_quietly(project: Project) -> None:
    process = project.start("train", "--log_iters", 1, "--iters", 10**6)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    assert (process.wait(timeout=60), err) == (141, "")


@pytest.mark.slow
def test_file_that_may_not_grow(project: Project) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))

    script = Path(__file__).parents[2] / "train.py"
    done = subprocess.run(
        [sys.executable, str(script), *project.arguments("train"), "--log_iters", "1", "--iters", "100"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert "File too large" in done.stderr
