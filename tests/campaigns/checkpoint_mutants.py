"""Training checkpoints tampered with in many ways, for ``bad_checkpoints.py`` and ``command_lines.py``."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import paddle
from harness import mutants  # puts the package and tests/ on the path
from weight_mutants import PROOF, Call, damaged, weight_mutants

from paddleseg import runtime

runtime.configure(threads=1)

from small_task import TinySegmenter  # noqa: E402

from paddleseg.engine.checkpoint import TrainState, save_checkpoint  # noqa: E402
from paddleseg.engine.manifest import MANIFEST, write_manifest  # noqa: E402

__all__ = ["CheckpointMutant", "checkpoint_mutants", "optimizer_of", "small_model", "write_run"]

PARAMETERS, OPTIMIZER, STATE, FACTS = "model.pdparams", "model.pdopt", "state.json", "run.json"
FILES = (PARAMETERS, OPTIMIZER, STATE, FACTS, MANIFEST)
ABSURD = (
    *(
        None,
        True,
        -1,
        10**400,
        1e999,
        float("nan"),
        "",
        "x",
        [],
        {},
        {"x": []},
        [[[]]],
        "\ud800",
        "x" * 10**6,
    ),
    *(0, 2**63, -(2**70), 0.5, "../..", "iter_2"),
)


@dataclass
class CheckpointMutant:
    """Damage to a checkpoint's folder.

    Attributes:
        kind: Class of the mutation.
        what: What is done.
        damage: Does it, to ``iter_4`` of a run that has an ``iter_2`` too.
        unchecked: The manifest was made to agree with the damage, or taken away, as a forger would.
    """

    kind: str
    what: str
    damage: Callable[[Path], object]
    unchecked: bool = False


def small_model(seed: int) -> TinySegmenter:
    """A small network, the same for the same seed and with the same parameter names."""
    paddle.seed(seed)
    with paddle.utils.unique_name.guard():
        return TinySegmenter(4)


def optimizer_of(layer: paddle.nn.Layer) -> paddle.optimizer.Optimizer:
    return paddle.optimizer.Momentum(0.1, momentum=0.9, parameters=layer.parameters())


def write_run(folder: Path) -> None:
    """A run's folder with two checkpoints, ``iter_2`` and ``iter_4``."""
    for iteration in (2, 4):
        layer = small_model(seed=iteration)
        optimizer = optimizer_of(layer)
        layer(paddle.ones([1, 3, 8, 8]))[0].sum().backward()
        optimizer.step()
        layer.set_state_dict(small_model(seed=iteration).state_dict())
        state = TrainState(iteration=iteration, seed=7, best_miou=0.5, best_iteration=2, run="a run")
        save_checkpoint(folder, model=layer, optimizer=optimizer, state=state, facts={"seed": 7, "x": [1, 2]})


def of_bytes(rng: random.Random) -> CheckpointMutant:
    name, seed = rng.choice(FILES), rng.randrange(2**32)

    def damage(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(damaged(data, random.Random(seed))[2])

    return CheckpointMutant("bytes", f"{name}, seed {seed}", damage)


def of_files(rng: random.Random) -> CheckpointMutant:
    """Files missing, empty, exchanged, taken from the other checkpoint, or not files."""
    name, other = rng.sample(FILES, 2)
    deeds: dict[str, Callable[[Path], object]] = {
        "missing": lambda folder: (folder / name).unlink(),
        "two missing": lambda folder: [(folder / one).unlink() for one in (name, other)],
        "empty": lambda folder: (folder / name).write_bytes(b""),
        "exchanged": lambda folder: _exchange(folder / name, folder / other),
        "from iter_2": lambda folder: shutil.copy(folder.with_name("iter_2") / name, folder / name),
        "a folder": lambda folder: [(folder / name).unlink(), (folder / name).mkdir()],
        "a pipe": lambda folder: [(folder / name).unlink(), os.mkfifo(folder / name)],
        "a loop": lambda folder: [(folder / name).unlink(), (folder / name).symlink_to(name)],
        "zeros": lambda folder: (folder / name).write_bytes(bytes((folder / name).stat().st_size)),
        "all missing": lambda folder: [file.unlink() for file in folder.iterdir()],
        "a file for the folder": lambda folder: [shutil.rmtree(folder), folder.write_bytes(b"x")],
        "no folder": shutil.rmtree,
    }
    deed = rng.choice(list(deeds))
    return CheckpointMutant("files", f"{deed}: {name} {other}", deeds[deed])


def _exchange(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def of_json(rng: random.Random) -> CheckpointMutant:
    """Entries of a JSON file replaced, removed or added; half of the time the manifest is made to agree."""
    name, forged = rng.choice([STATE, STATE, FACTS, MANIFEST]), rng.random() < 0.5
    value, pick = rng.choice(ABSURD), rng.random()
    deed = rng.choice(["replace", "replace", "remove", "add", "all", "nested", "text"])

    def damage(folder: Path) -> None:
        content = json.loads((folder / name).read_text("utf-8"))
        key = list(content)[int(pick * len(content))]
        if deed == "replace":
            content[key] = value
        elif deed == "remove":
            del content[key]
        elif deed == "add":
            content[str(value)[:50]] = value
        elif deed == "all":
            content = value
        text = {"nested": "[" * 100_000, "text": '{"iteration": 1' + "0" * 9999 + "}"}.get(deed)
        (folder / name).write_text(text or json.dumps(content), "utf-8")
        if forged and name != MANIFEST:
            _forge_manifest(folder)

    return CheckpointMutant("JSON", f"{name} {deed} {str(value)[:40]!r}, forged: {forged}", damage, forged)


def _forge_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    write_manifest(folder)


def of_manifests(rng: random.Random) -> CheckpointMutant:
    """A manifest of another shape, with a checksum of itself that fits."""
    place = rng.choice(["files", "written", "name", "entry", "entry", "bytes", "sha256", "unlisted", "none"])
    name, value = rng.choice([PARAMETERS, OPTIMIZER, STATE, FACTS]), rng.choice([*ABSURD, 10**9, [1]])

    def damage(folder: Path) -> None:
        content = json.loads((folder / MANIFEST).read_text("utf-8"))
        del content["sha256"]
        files = content["files"]
        if place in content:
            content[place] = value
        elif place == "name":
            files[f"../{str(value)[:50]}"] = files[name]
        elif place == "entry":
            files[name] = value
        elif place == "unlisted":
            del files[name]
        elif place == "none":
            files.clear()
        else:
            files[name][place] = value
        content["sha256"] = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", "utf-8")

    return CheckpointMutant("forged manifest", f"{place} of {name}: {str(value)[:40]!r}", damage)


def of_forged_arrays(rng: random.Random) -> CheckpointMutant:
    """Another weights file under the name of one here, with a manifest that agrees or without any."""
    name, seed = rng.choice([PARAMETERS, OPTIMIZER]), rng.randrange(10**6)
    with_manifest = rng.random() < 0.5
    arrays = {key: tensor.numpy() for key, tensor in small_model(seed=4).state_dict().items()}
    mutant = next(weight_mutants(arrays, 1, seed))

    def damage(folder: Path) -> None:
        (folder / name).unlink()
        mutant.write(folder / name)
        (folder / MANIFEST).unlink()
        if not with_manifest:
            (folder / FACTS).unlink()  # as version 0.1 wrote them
        elif (folder / name).is_file():
            write_manifest(folder)

    what = f"{name} is {mutant.kind} {mutant.what}, manifest: {with_manifest}"
    return CheckpointMutant("forged arrays", what, damage, unchecked=True)


def of_hostile_optimizers(rng: random.Random) -> CheckpointMutant:
    """An optimiser's state that asks for code, or holds what no optimiser has."""
    value = rng.choice([Call(os.mkdir, PROOF), *ABSURD])
    key = rng.choice(
        ["master_weights", "LR_Scheduler", "x", "conv2d_0.w_0_velocity_0", "conv2d_0.w_0_velocity_x"]
    )

    def damage(folder: Path) -> None:
        (folder / OPTIMIZER).write_bytes(pickle.dumps({key: value}, protocol=4))
        _forge_manifest(folder)

    return CheckpointMutant("forged optimiser", f"{key}: {str(value)[:40]!r}", damage, unchecked=True)


GENERATORS: dict[Callable[[random.Random], CheckpointMutant], int] = {
    of_bytes: 4,
    of_files: 3,
    of_json: 3,
    of_manifests: 2,
    of_forged_arrays: 3,
    of_hostile_optimizers: 1,
}


def checkpoint_mutants(count: int, seed: int) -> Iterator[CheckpointMutant]:
    return mutants("checkpoint", GENERATORS, count, seed)
