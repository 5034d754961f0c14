"""Measures the project, alone or beside a peer: ``python -m benchmark --help``."""
