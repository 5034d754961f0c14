"""Smaller and faster models from trained ones, run from a checkout."""
