"""What every test may use. The run-time settings come first: test modules import the framework."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from build_cases import REFERENCE, write_list_config

from paddleseg import build, registry, runtime

runtime.configure()

ROOT = Path(__file__).resolve().parents[1]
LOGGER = logging.getLogger("paddleseg")
UNTOUCHED = list(LOGGER.handlers), LOGGER.level, LOGGER.propagate


@pytest.fixture
def root_dir() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def shared_dir() -> Path:
    """The folder of shared material beside the checkout; the test skips where it is missing."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder ../shared beside the checkout")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that gives the same numbers in every run."""
    return np.random.default_rng(20261122)


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """Undoes what a program under test set up, so that caplog works in the next test."""
    yield
    # Not as found before: a fixture of a whole module may have run a program.
    handlers, level, propagate = UNTOUCHED
    for handler in LOGGER.handlers:
        if handler not in handlers:
            with contextlib.suppress(OSError):  # a log on a full disk, as some tests have it
                handler.close()
    LOGGER.handlers[:] = handlers
    LOGGER.setLevel(level)
    LOGGER.propagate = propagate


@pytest.fixture
def restored_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """All components are registered; what a test adds goes with it."""
    build.import_components()
    for one in vars(registry).values():
        if isinstance(one, registry.Registry):
            monkeypatch.setattr(one, "_components", dict(one._components))


@pytest.fixture
def reference(root_dir: Path) -> Path:
    """The published configuration."""
    return root_dir / REFERENCE


@pytest.fixture
def list_config(tmp_path: Path) -> Path:
    """A small configuration over a list-file data set, which is not there."""
    return write_list_config(tmp_path)
