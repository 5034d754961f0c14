from __future__ import annotations

import pytest

from paddleseg import errors
from paddleseg.errors import PaddleSegError, did_you_mean

NAMES = ["Cityscapes", "CrossEntropyLoss", "DiceLoss", "model"]


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("CrossEntropyLos", "CrossEntropyLoss"),
        ("crossentropyloss", "CrossEntropyLoss"),
        ("cityscape", "Cityscapes"),
        ("DICELOSS", "DiceLoss"),
        ("modle", "model"),
    ],
)
def test_suggests_the_nearest_name(name: str, suggestion: str) -> None:
    assert did_you_mean(name, NAMES) == f"; did you mean '{suggestion}'?"


@pytest.mark.parametrize(("name", "names"), [("xyz", NAMES), ("", NAMES), ("model", [])])
def test_no_suggestion_without_a_near_name(name: str, names: list[str]) -> None:
    assert did_you_mean(name, names) == ""


def test_names_may_come_from_any_iterable() -> None:
    assert did_you_mean("modl", iter(NAMES)) == "; did you mean 'model'?"


def test_every_error_is_one_that_the_user_can_fix() -> None:
    """The programs catch the base class and turn it into a message and exit status 2."""
    classes = [getattr(errors, name) for name in errors.__all__ if name != "did_you_mean"]
    assert {cls.__name__ for cls in classes} == {
        "CheckpointError",
        "ConfigError",
        "DataError",
        "DeviceError",
        "OutputError",
        "PaddleSegError",
        "RegistryError",
        "UsageError",
        "WeightsError",
    }
    for cls in classes:
        assert issubclass(cls, PaddleSegError)
        assert str(cls("what happened")) == "what happened"
    assert not issubclass(PaddleSegError, OSError | ValueError)
