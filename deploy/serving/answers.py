"""From class ids to what the client gets."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from deploy.python.exported_model import Labels
from paddleseg.visualise import color_map, overlay, png_of

__all__ = ["Answer", "ModelFacts", "Output", "answer_of"]

Picture = npt.NDArray[np.uint8]
Output = Literal["label", "overlay", "json"]


@dataclass(frozen=True)
class ModelFacts:
    """What answers say about the model.

    Attributes:
        name: Its folder's name.
        class_names: By class id; where one is missing, the id is the name.
        palette: Colours by class id, 256×3 uint8.
    """

    name: str
    class_names: list[str]
    palette: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, name: str, class_names: list[str] | None, palette: list[list[int]] | None) -> ModelFacts:
        """Fills in what ``deploy.yaml`` does not say."""
        return cls(name, class_names or [], color_map(256, palette=palette))

    def class_of(self, number: int) -> dict[str, Any]:
        """Id, name and colour of a class."""
        known = number < len(self.class_names)
        has_color = number < len(self.palette)
        red, green, blue = self.palette[number].tolist() if has_color else (0, 0, 0)
        return {
            "id": number,
            "name": self.class_names[number] if known else str(number),
            "color": f"#{red:02x}{green:02x}{blue:02x}",
        }


@dataclass(frozen=True)
class Answer:
    """The body of an answer and its media type."""

    body: bytes
    media_type: str


def answer_of(
    image: Picture, label: Labels, output: Output, facts: ModelFacts, *, time_ms: float, with_overlay: bool
) -> Answer:
    """Makes the body that was asked for.

    Args:
        image: H×W×C uint8.
        label: H×W class ids.
        output: A PNG of class ids, a PNG of the image under the classes' colours, or JSON.
        facts: About the model.
        time_ms: Milliseconds from the decoded image to its class ids, waiting included; for JSON.
        with_overlay: Whether JSON holds the overlay too, as a ``data:`` URL.
    """
    if output == "label":
        return Answer(png_of(label), "image/png")
    if output == "overlay":
        return Answer(_overlay_png(image, label, facts), "image/png")
    height, width = label.shape
    counts = np.bincount(label.reshape(-1))
    result: dict[str, Any] = {
        "width": width,
        "height": height,
        "classes": [
            {**facts.class_of(number), "pixels": count, "share": count / label.size}
            for number, count in enumerate(counts.tolist())
            if count
        ],
        "time_ms": round(time_ms, 3),
        "model": facts.name,
    }
    if with_overlay:
        png = base64.b64encode(_overlay_png(image, label, facts)).decode("ascii")
        result["overlay"] = f"data:image/png;base64,{png}"
    return Answer(json.dumps(result, ensure_ascii=False).encode("utf-8"), "application/json")


def _overlay_png(image: Picture, label: Labels, facts: ModelFacts) -> bytes:
    return png_of(overlay(image, label, facts.palette))
