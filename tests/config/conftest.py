"""The registries as the configuration's tests see them."""

from __future__ import annotations

import pytest
from fake_components import COMPONENTS


@pytest.fixture(autouse=True)
def _fake_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adds the fake components for one test only: other suites go through all that is registered."""
    for registry, components in COMPONENTS.items():
        monkeypatch.setattr(registry, "_components", dict(registry._components))
        for component in components:
            registry.register(component)
