"""The official Cityscapes label ids that the scenes use."""

from __future__ import annotations

from typing import Final

__all__ = [
    "BUILDING",
    "CAR",
    "EGO_VEHICLE",
    "FENCE",
    "PERSON",
    "POLE",
    "ROAD",
    "SIDEWALK",
    "SKY",
    "STATIC",
    "TERRAIN",
    "TRAFFIC_SIGN",
    "VEGETATION",
]

# Not evaluated in Cityscapes: they become 255 among the train ids.
EGO_VEHICLE: Final = 1
STATIC: Final = 4

ROAD: Final = 7
SIDEWALK: Final = 8
BUILDING: Final = 11
FENCE: Final = 13
POLE: Final = 17
TRAFFIC_SIGN: Final = 20
VEGETATION: Final = 21
TERRAIN: Final = 22
SKY: Final = 23
PERSON: Final = 24
CAR: Final = 26
