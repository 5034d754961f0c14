"""Campaign: configs mutilated in many ways are loaded or refused with a message, nothing else.

    python tests/campaigns/bad_configs.py --count 2000

Each config is read through ``build.load_config``, in one process; what is accepted goes on to the small parts
that every program builds from it. Exit status 1 lists what ended in anything but a message.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from config_mutants import CONFIG, ConfigMutant, config_mutants, source_trees, yaml_bytes
from harness import MEBIBYTE, TESTS, Case, Watch, arguments, campaign, empty, limit_memory, work_folder

from paddleseg.build import build_loss, build_schedule, build_transforms, check_files, load_config
from paddleseg.config.schema import TRAIN_KEYS
from paddleseg.errors import ConfigError


def use(mutant: ConfigMutant, path: Path) -> None:
    """Loads a config, and what every program makes of one that was accepted."""
    config = load_config(path, mutant.overrides, flags=mutant.flags, required=TRAIN_KEYS)
    build_schedule(config)(0)
    build_loss(config)
    for block in ("train_dataset", "val_dataset", "export"):
        build_transforms(config, block)
    yaml.safe_dump(config.tree, sort_keys=False, allow_unicode=True).encode()  # as write_run_record does
    with contextlib.suppress(ConfigError):  # the data are not there; only other errors matter
        check_files(config, ["model", "train_dataset", "val_dataset"])


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    """Writes each mutant into the emptied folder just before its case runs."""
    for mutant in config_mutants(count, seed):
        empty(folder)
        shutil.copy(TESTS / "cli/plugin_tiny_net.py", folder / "tiny_net.py")
        path = mutant.write(folder)
        yield Case(mutant.kind, mutant.what, lambda mutant=mutant, path=path: use(mutant, path))


def main() -> int:
    """Runs the campaign. Returns the exit status."""
    args = arguments("Load mutilated configs.", count=2000)
    with work_folder() as folder:
        shutil.copy(TESTS / "cli/plugin_tiny_net.py", folder / "tiny_net.py")
        for name, tree in source_trees().items():
            sound = ConfigMutant("none", name, {CONFIG: yaml_bytes(tree)})
            use(sound, sound.write(folder))  # else the mutants would be refused for another reason
        limit_memory(3072 * MEBIBYTE)
        return campaign("Bad configs", cases(args.count, args.seed, folder), Watch(folder=folder))


if __name__ == "__main__":
    sys.exit(main())
