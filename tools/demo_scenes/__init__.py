"""Procedural street scenes with exact labels: the demo data set's pictures."""
