"""Campaign: the bad inputs of the other campaigns as real command lines of the four programs.

    python tests/campaigns/command_lines.py --count 100

Each program is a process of its own in a fresh project folder. It must end in time with a status that a
script can rely on (0, 2, or 1 where single images failed), without a traceback, an orphan, a half-written
file, or any change to what it was given.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import paddle
from bad_images import write_sample
from checkpoint_mutants import checkpoint_mutants
from config_mutants import config_mutants, source_trees, yaml_bytes
from harness import ROOT, TESTS, Case, Watch, arguments, campaign, difference, fingerprint, work_folder
from image_mutants import image_mutants
from small_task import write_dataset
from weight_mutants import weight_mutants

SECONDS = 120
SAVE_DIR = "output"
PROGRAMS = ("train", "val", "predict", "export")
STATUSES = {"train": (0, 2), "val": (0, 2), "predict": (0, 1, 2), "export": (0, 2)}
UNFINISHED = (".part", ".unfinished", ".replaced", ".tmp", ".write_test")
# What training leaves where it ends in the middle; the other programs leave nothing.
RESULTS = ("iter_", "train.log", "config.yml", "environment.json", "metrics.jsonl", "non_finite")
OF_A_RUN = tuple(f"{SAVE_DIR}/{name}" for name in RESULTS)
STRANGE = (
    *(
        "\udcff",
        "x" * 300,
        "",
        "-1",
        "nan",
        "/dev/null",
        "/proc/x",
        "config.yml",
        "config.yml/x",
        "~nobody/x",
    ),
    *("*", "%s", "ü ☃", "1e999", "9" * 24, "data", "run", ".", "run/iter_4/model.pdparams"),
)
RESUME = ["--resume_model", "run/iter_4"]
COMMON = ("save_dir", "config", "device", "opts", "threads")
TRAIN = ("resume_model", "iters", "batch_size", "learning_rate", "seed", "num_workers", "save_interval")
OPTIONS = {
    "train": (*COMMON, *TRAIN, "keep_checkpoint_max", "precision", "log_iters", "accumulate"),
    "val": (*COMMON, "model_path", "num_workers", "scales", "crop_size"),
    "predict": (*COMMON, "model_path", "image_path", "custom_color", "scales", "device_id"),
    "export": (*COMMON, "model_path", "input_shape", "output_op"),
}


@dataclass
class Command:
    """A bad command line.

    Attributes:
        kind: Class of the mutation.
        what: What was done.
        program: Which of the four.
        prepare: Damages the project's folder.
        flags: What follows the flags that the program cannot do without; later ones win.
    """

    kind: str
    what: str
    program: str
    prepare: Callable[[Path], object]
    flags: list[str] = field(default_factory=list)


def write_project(folder: Path) -> None:
    """A sound project: config, plugin, data, weights, and a run with two checkpoints."""
    write_dataset(folder / "data", count=6)
    (folder / "data/list.txt").write_bytes(sample_lines(6))
    (folder / "config.yml").write_bytes(yaml_bytes(source_trees()["small_task"]))
    shutil.copy(TESTS / "cli/plugin_tiny_net.py", folder / "tiny_net.py")
    head = paddle.nn.Conv2D(3, 4, 1)
    state = {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
    paddle.save(state, str(folder / "weights.pdparams"))
    made = run_program(folder, "train", ["--save_interval", "2", "--save_dir", "run"])
    assert made.status == 0, made.output
    assert (folder / "run/iter_4").is_dir(), made.output


def check_sound(folder: Path) -> None:
    """Runs each program on the sound project; else the mutants would be refused for another reason."""
    for program in PROGRAMS:
        ended = run_program(folder, program, RESUME if program == "train" else [])
        assert ended.status == 0, ended.output


@dataclass(frozen=True)
class Ended:
    """How a program ended: exit status (None: not in time), output, and whether processes are left."""

    status: int | None
    output: str
    orphans: bool


def run_program(folder: Path, program: str, flags: list[str]) -> Ended:
    """Runs a program in a folder, in a process group of its own that ends with it."""
    needed = ["--config", "config.yml", "--device", "cpu", "--save_dir", SAVE_DIR]
    needed += [] if program == "train" else ["--model_path", "weights.pdparams"]
    needed += ["--image_path", "data/images"] if program == "predict" else []
    command = [sys.executable, str(ROOT / f"{program}.py"), *needed, *flags]
    with open(folder.parent / "log.txt", "w+b") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )
        try:
            status: int | None = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            status = None
        orphans = _end_group(process.pid) and status is not None
        process.wait()
        log.seek(0)
        return Ended(status, log.read().decode(errors="replace"), orphans)


def _end_group(leader: int) -> bool:
    """Kills what is left of a process group. Returns whether there was anything."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def use(command: Command, folder: Path) -> str:
    """Runs a command line and checks how it ended. Returns the status as a column of the table."""
    before = fingerprint(folder)
    ended = run_program(folder, command.program, command.flags)
    problems = []
    if ended.status not in STATUSES[command.program]:
        problems.append(f"exit status {ended.status}" if ended.status is not None else "not done in time")
    if "Traceback" in ended.output or "Logging error" in ended.output:
        problems.append("a traceback")
    if ended.status == 2 and ended.output.count("error: ") < 1:
        problems.append("no message")
    if ended.orphans:
        problems.append("processes are left")
    problems += [f"changed: {name}" for name in _changed(before, fingerprint(folder), ended.status)]
    assert not problems, f"{'; '.join(problems)}\n{ended.output[-250:]}"
    return f"status {ended.status}"


def _changed(before: dict[str, str], after: dict[str, str], status: int | None) -> list[str]:
    """Given files that are not as before, and new ones that no program should leave."""
    new = [name for name in after if name not in before]
    names = [name for name in difference(before, after) if name in before]
    names += [name for name in new if name.endswith(UNFINISHED)]
    if status == 2:
        names += [name for name in new if name != SAVE_DIR and not name.startswith(OF_A_RUN)]
    return names


def sample_lines(count: int) -> bytes:
    """Lines of ``list.txt`` for sound samples."""
    return b"".join(f"images/{i}.png|labels/{i}.png\n".encode() for i in range(count))


def of_configs(rng: random.Random) -> Command:
    mutant = next(config_mutants(1, rng.randrange(10**6)))
    program = rng.choice(PROGRAMS)
    flags = [f"--{name}={value}"[:3000] for name, value in mutant.flags.items() if program == "train"]
    if mutant.overrides:
        flags += ["--opts", *mutant.overrides]
    flags = [flag.replace("\0", "\\0").replace("\ud800", "\udcff") for flag in flags]
    return Command(f"configs, {program}", mutant.what, program, mutant.write, flags)


def of_images(rng: random.Random) -> Command:
    mutant = next(image_mutants(1, rng.randrange(10**6)))
    program = rng.choice(PROGRAMS[:3])

    def prepare(folder: Path) -> None:
        write_sample(mutant, folder / "data")
        bad = (folder / "data/list.txt").read_bytes()
        (folder / "data/list.txt").write_bytes(sample_lines(5) + bad)

    flags = ["--image_path", "data"] if program == "predict" else ["--num_workers", rng.choice("02")]
    return Command(f"images, {program}", mutant.what, program, prepare, flags)


def of_weights(rng: random.Random) -> Command:
    head = paddle.nn.Conv2D(3, 4, 1)
    arrays = {f"head.{name}": tensor.numpy() for name, tensor in head.state_dict().items()}
    mutant = next(weight_mutants(arrays, 1, rng.randrange(10**6)))
    program, name = rng.choice(PROGRAMS), f"bad.{mutant.suffix}"
    flags = ["--opts", f"model.pretrained={name}"] if program == "train" else ["--model_path", name]
    return Command(
        f"weights, {program}", mutant.what, program, lambda folder: mutant.write(folder / name), flags
    )


def of_checkpoints(rng: random.Random) -> Command:
    mutant = next(checkpoint_mutants(1, rng.randrange(10**6)))
    return Command(
        "checkpoints, train",
        mutant.what,
        "train",
        lambda folder: mutant.damage(folder / "run/iter_4"),
        RESUME,
    )


def of_arguments(rng: random.Random) -> Command:
    program, value = rng.choice(PROGRAMS), rng.choice(STRANGE)
    name = rng.choice(OPTIONS[program])
    what = f"{program} --{name}={value}"
    return Command(f"arguments, {program}", what, program, lambda folder: None, [f"--{name}={value}"])


GENERATORS = {of_configs: 35, of_images: 25, of_weights: 15, of_checkpoints: 15, of_arguments: 10}


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    """Copies the sound project just before each case runs, and damages the copy."""
    sound, project = folder / "sound", folder / "project"
    project.mkdir()
    write_project(project)
    shutil.copytree(project, sound)
    if count >= 10:  # else it would take longer than the campaign; other tests run the sound programs too
        check_sound(project)
    order = [make for make, share in GENERATORS.items() for _ in range(share)]
    random.Random(seed).shuffle(order)
    for index in range(count):
        rng = random.Random(f"command {seed} {index}")
        command = order[index % len(order)](rng)
        shutil.rmtree(project)
        shutil.copytree(sound, project)
        command.prepare(project)
        what = f"#{index} {command.program}.py {' '.join(command.flags)[:200]} ({command.what})"
        yield Case(command.kind, what, partial(use, command, project))


def main() -> int:
    """Runs the campaign. Returns the exit status."""
    args = arguments("Run the four programs on bad input.", count=100)
    with work_folder() as folder:
        watch = Watch(seconds=SECONDS + 30)
        return campaign("Bad input as command lines", cases(args.count, args.seed, folder), watch)


if __name__ == "__main__":
    sys.exit(main())
