"""Classifiers on top of backbone features."""

from paddleseg.models.heads.fcn import FCNHead
from paddleseg.models.heads.rcca import RCCAHead

__all__ = ["FCNHead", "RCCAHead"]
