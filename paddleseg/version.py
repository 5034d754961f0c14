"""The version, read by ``setup.py`` and written into every run's record."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.3.0"
