from __future__ import annotations

import pytest

from paddleseg import registry
from paddleseg.errors import RegistryError
from paddleseg.registry import Registry


@pytest.fixture
def things() -> Registry:
    return Registry("thing")


def make(name: str, module: str = "mine") -> type:
    """A class as if defined in a module."""
    return type(name, (), {"__module__": module, "__qualname__": name})


def test_under_its_own_name(things: Registry) -> None:
    @things.register
    class Ball:
        pass

    @things.register
    def rope() -> str:
        return "rope"

    assert things.get("Ball") is Ball
    assert things.get("rope") is rope
    assert rope() == "rope"  # the decorators return what they are given


def test_under_other_names(things: Registry) -> None:
    @things.register(name="sgd")
    @things.register(name="Momentum")
    def momentum() -> None: ...

    assert list(things) == ["Momentum", "sgd"]
    assert things.get("sgd") is things.get("Momentum") is momentum


def test_a_table_of_names(things: Registry) -> None:
    for name in ("b", "C", "a"):
        things.register(make(name))
    assert list(things) == ["C", "a", "b"]
    assert len(things) == 3
    assert "a" in things
    assert "A" not in things
    assert 1 not in things


@pytest.mark.parametrize("name", ["ball", "Bal", "BALL"])
def test_an_unknown_name_suggests_the_nearest(things: Registry, name: str) -> None:
    things.register(make("Ball"))
    with pytest.raises(RegistryError, match=rf"^no thing '{name}'; did you mean 'Ball'\?$"):
        things.get(name)


def test_an_unknown_name_with_none_near(things: Registry) -> None:
    with pytest.raises(RegistryError, match=r"^no thing 'Ball'$"):
        things.get("Ball")
    things.register(make("Ring"))
    things.register(make("Cube"))
    with pytest.raises(RegistryError, match=r"^no thing 'Ball'; there are Cube, Ring$"):
        things.get("Ball")


def test_a_second_component_of_a_name_is_refused(things: Registry) -> None:
    first = things.register(make("Ball", "theirs"))
    message = r"^thing 'Ball' of mine is already registered by theirs; give yours another name$"
    with pytest.raises(RegistryError, match=message):
        things.register(make("Ball", "mine"))
    with pytest.raises(RegistryError, match="already registered by theirs"):
        things.register(make("Cube"), name="Ball")
    assert things.get("Ball") is first
    assert list(things) == ["Ball"]


def test_the_same_definition_may_come_again(things: Registry) -> None:
    """A module that is imported once more brings new classes of the same source."""
    things.register(make("Ball"))
    again = things.register(make("Ball"))
    assert things.get("Ball") is again


def test_registries_do_not_share_names() -> None:
    one, other = Registry("one"), Registry("other")
    one.register(make("Ball"))
    assert "Ball" not in other


def test_the_registries_of_the_package() -> None:
    kinds = {name: table.kind for name, table in vars(registry).items() if isinstance(table, Registry)}
    assert kinds == {
        "BACKBONES": "backbone",
        "DATASETS": "data set",
        "LOSSES": "loss",
        "MODELS": "model",
        "OPTIMIZERS": "optimizer",
        "SCHEDULES": "learning-rate schedule",
        "TRANSFORMS": "transform",
    }
