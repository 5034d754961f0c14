"""Named tables of components, filled by decorators and read by ``build.py``.

A user's own module joins by registering and being listed in the config::

    from paddleseg.registry import LOSSES

    @LOSSES.register
    class MyLoss: ...

    # config.yml
    plugins: [my_module]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar, overload

from paddleseg.errors import RegistryError, did_you_mean

__all__ = [
    "BACKBONES",
    "DATASETS",
    "LOSSES",
    "MODELS",
    "OPTIMIZERS",
    "SCHEDULES",
    "TRANSFORMS",
    "Registry",
]

Component = TypeVar("Component", bound=Callable[..., Any])


class Registry:
    """A table from a component's name to the class or function that builds it.

    Args:
        kind: What the table holds, for messages: ``"loss"``, ``"backbone"`` …
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._components: dict[str, Callable[..., Any]] = {}

    @overload
    def register(self, component: Component) -> Component: ...

    @overload
    def register(self, *, name: str) -> Callable[[Component], Component]: ...

    def register(self, component: Any = None, *, name: str | None = None) -> Any:
        """Adds a component under its own name, or under ``name``.

        Raises:
            RegistryError: The name is taken by another component.
        """
        if component is None:
            return lambda later: self._add(name or later.__name__, later)
        return self._add(name or component.__name__, component)

    def _add(self, name: str, component: Component) -> Component:
        present = self._components.get(name)
        if present is not None and not _same_definition(present, component):
            raise RegistryError(
                f"{self.kind} '{name}' of {component.__module__} is already registered by "
                f"{present.__module__}; give yours another name"
            )
        self._components[name] = component
        return component

    def get(self, name: str) -> Callable[..., Any]:
        """Returns the component.

        Raises:
            RegistryError: There is none of that name; the message suggests the nearest, or all.
        """
        if name not in self._components:
            known = f"; there are {', '.join(self)}" if self._components else ""
            raise RegistryError(f"no {self.kind} '{name}'{did_you_mean(name, self._components) or known}")
        return self._components[name]

    def __contains__(self, name: object) -> bool:
        return name in self._components

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._components))

    def __len__(self) -> int:
        return len(self._components)


def _same_definition(first: Callable[..., Any], second: Callable[..., Any]) -> bool:
    """True for the same source definition, as after re-importing a module."""
    return (first.__module__, first.__qualname__) == (second.__module__, second.__qualname__)


MODELS = Registry("model")
BACKBONES = Registry("backbone")
DATASETS = Registry("data set")
TRANSFORMS = Registry("transform")
LOSSES = Registry("loss")
OPTIMIZERS = Registry("optimizer")
SCHEDULES = Registry("learning-rate schedule")
