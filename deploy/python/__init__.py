"""Exported models in Python: what deploy.yaml says, inference engines, images and video."""
