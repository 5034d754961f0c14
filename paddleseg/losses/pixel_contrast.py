"""Contrast between the embeddings of pixels."""

from __future__ import annotations

from collections.abc import Mapping

import paddle
from paddle import Tensor

from paddleseg.errors import ConfigError
from paddleseg.losses import functional
from paddleseg.losses.base import check_above, check_ignore_index
from paddleseg.losses.functional_contrast import Anchors, contrast, nearest, sample_anchors
from paddleseg.registry import LOSSES

__all__ = ["PixelContrastCrossEntropyLoss"]

# Under the root of a length; far below the square of any length that matters.
EPS = 1e-12


@LOSSES.register
class PixelContrastCrossEntropyLoss:
    """Pulls the embeddings of pixels of one class together and pushes those of other classes away.

    It takes no logits but a mapping, which a model with a projection head returns in training as one of its
    outputs: ``[logits, {"seg": coarse logits, "embed": embedding}]``, with the cross-entropy on the first
    (coef [1, 0.1]). That is PaddleSeg's form; no model of this toolkit has such a head, so the loss is for
    models from ``plugins``. Pixels are drawn on the host from Paddle's random numbers: up to ``max_views`` of
    each class of each image, half of them wrongly predicted ones. Source: Wang et al., ICCV 2021 (arXiv
    2101.11939); PaddleSeg's ``PixelContrastCrossEntropyLoss``, which crashes where no class is large enough.

    Args:
        temperature: Divides the likeness of two embeddings, above 0.
        base_temperature: The loss is multiplied by temperature / base_temperature.
        ignore_index: The label of pixels that do not count.
        max_samples: Pixels of a batch to compare, about.
        max_views: Pixels of a class in an image to compare; a class with no more than these is left out.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        base_temperature: float = 0.07,
        ignore_index: int = 255,
        max_samples: int = 1024,
        max_views: int = 100,
    ) -> None:
        self.temperature = check_above("temperature", temperature, 0)
        self.base_temperature = check_above("base_temperature", base_temperature, 0)
        self.ignore_index = check_ignore_index(ignore_index)
        for name, value in (("max_samples", max_samples), ("max_views", max_views)):
            if value < 1:
                raise ValueError(f"{name}: got {value}; expected at least 1 pixel")
        self.max_samples = max_samples
        self.max_views = max_views

    def __call__(self, output: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            output: ``"seg"``, N×C×h×w logits, and ``"embed"``, N×D×h×w, which is brought to length 1 here.
            labels: N×H×W int64, 0..C−1 or ``ignore_index``; the nearest ones are taken for h×w.

        Returns:
            A float32 scalar; 0 when no class is large enough.

        Raises:
            ConfigError: The output is no such mapping.
            ValueError: The shapes disagree.
        """
        if not isinstance(output, Mapping) or not {"seg", "embed"} <= output.keys():
            raise ConfigError(
                f"PixelContrastCrossEntropyLoss: got {_describe(output)} as the model's output; expected "
                "a mapping with 'seg' and 'embed': give this loss to the output of a model "
                "with a projection head"
            )
        embedding = functional.as_float32(output["embed"])
        anchors = self._anchors(output["seg"], embedding, labels)
        if not anchors.pixels.size:
            return embedding.sum() * 0.0  # still connected, so that every parameter gets a gradient
        by_pixel = embedding.transpose([0, 2, 3, 1]).reshape([-1, embedding.shape[1]])
        chosen = paddle.gather(by_pixel, paddle.to_tensor(anchors.pixels))
        length = paddle.sqrt((chosen * chosen).sum(axis=1, keepdim=True) + EPS)
        loss = contrast(chosen / length, paddle.to_tensor(anchors.classes), temperature=self.temperature)
        return loss * (self.temperature / self.base_temperature)

    def _anchors(self, seg: Tensor, embedding: Tensor, labels: Tensor) -> Anchors:
        _check_shapes(list(seg.shape), list(embedding.shape), list(labels.shape))
        batch, _, height, width = embedding.shape
        return sample_anchors(
            nearest(labels.numpy().astype("int64"), height, width),
            functional.as_float32(seg).argmax(axis=1).numpy(),
            paddle.randperm(batch * height * width).numpy(),
            ignore_index=self.ignore_index,
            max_samples=self.max_samples,
            max_views=self.max_views,
        )


def _check_shapes(seg: list[int], embedding: list[int], labels: list[int]) -> None:
    batch, _, *size = embedding
    same_places = [seg[0], *seg[2:]] == [batch, *size]
    if not same_places or labels[0] != batch or any(map(int.__lt__, labels[1:], size)):
        raise ValueError(
            f"'seg' of shape {seg}, 'embed' of shape {embedding} and labels of shape {labels} do not fit; "
            "expected N×C×h×w, N×D×h×w and N×H×W, at least as large"
        )


def _describe(output: object) -> str:
    return f"a mapping with {list(output)}" if isinstance(output, Mapping) else f"a {type(output).__name__}"
