"""Criss-cross attention (CCNet, arXiv 1811.11721, section 3.2)."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddleseg.models.layers.attention_lines import MASKED_LOGIT
from paddleseg.models.layers.cpu_criss_cross import CpuCrissCrossFunction
from paddleseg.models.layers.criss_cross_function import CrissCrossFunction
from paddleseg.models.layers.matrix_library import has_matrix_library, runs_eagerly

__all__ = ["CrissCrossAttention"]

# The weights of an image of 97×97 are 7 MiB.
_KEPT_BYTES = 64 << 20
_WHOLE_BYTES = 1 << 30


class CrissCrossAttention(nn.Layer):
    """Each pixel gathers from the H+W−1 pixels of its own row and column.

    One joint softmax over those logits, without a 1/√d scale; the pixel itself counts once (its place
    in the column is masked). The output is ``gamma · Σ A·V + x`` with ``gamma`` learned, starting at 0.

    Eager execution takes one of two functions with a backward of their own, which are faster and keep less,
    with the same numbers but for rounding: float32 on the CPU :class:`CpuCrissCrossFunction`, while the
    attention weights of an image are not too large; all else :class:`CrissCrossFunction`, which works through
    images in groups of rows and columns. A graph for export or static training is made of the plain formula,
    and so is the forward of a layer whose convolutions have hooks, and of a batch without images.

    Args:
        in_channels: Channels C of the input, a multiple of 8. Queries and keys have C/8 channels.

    Attributes:
        kept_bytes: Up to this size the attention weights are kept for backward, beyond it computed again.
        whole_bytes: Up to this size an image's attention weights may be in memory at once.

    Shape:
        N×C×H×W → N×C×H×W, any H and W.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        if in_channels < 8 or in_channels % 8:
            raise ValueError(f"in_channels must be a positive multiple of 8, got {in_channels}")
        self.in_channels = in_channels
        self.kept_bytes, self.whole_bytes = _KEPT_BYTES, _WHOLE_BYTES
        self.q_conv = nn.Conv2D(in_channels, in_channels // 8, 1)
        self.k_conv = nn.Conv2D(in_channels, in_channels // 8, 1)
        self.v_conv = nn.Conv2D(in_channels, in_channels, 1)
        self.gamma = self.create_parameter(shape=[1], default_initializer=nn.initializer.Constant(0.0))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        convolutions = (self.q_conv, self.k_conv, self.v_conv)
        hooked = any(one._forward_pre_hooks or one._forward_post_hooks for one in convolutions)
        if hooked or not runs_eagerly() or not x.size:
            return self._plain(x)
        parameters = [one.weight for one in convolutions] + [one.bias for one in convolutions]
        compute, weight_bytes = _compute_dtype(x), 4 * x.size // x.shape[1] * sum(x.shape[2:])
        in_library = x.place.is_cpu_place() and x.dtype == compute == paddle.float32 and has_matrix_library()
        if in_library and weight_bytes <= self.whole_bytes * x.shape[0]:
            return CpuCrissCrossFunction.apply(x, self.gamma, *parameters, weight_bytes <= self.kept_bytes)
        return CrissCrossFunction.apply(x, self.gamma, *parameters, self.kept_bytes, compute)

    def _plain(self, x: paddle.Tensor) -> paddle.Tensor:
        height = x.shape[2]
        query, key, value = self.q_conv(x), self.k_conv(x), self.v_conv(x)

        # Mixed precision stops here: `@` would turn float16, where a large logit overflows.
        with paddle.amp.auto_cast(enable=False):
            attention = self._attention(query.astype("float32"), key.astype("float32"))
        attention = attention.astype(value.dtype)
        to_column = attention[:, :, :, :height].transpose([0, 2, 1, 3])  # [N, W, H, H]
        to_row = attention[:, :, :, height:]  # [N, H, W, W]

        from_column = to_column @ value.transpose([0, 3, 2, 1])  # [N, W, H, C]
        from_row = to_row @ value.transpose([0, 2, 3, 1])  # [N, H, W, C]
        context = from_column.transpose([0, 3, 2, 1]) + from_row.transpose([0, 3, 1, 2])
        return self.gamma * context + x

    @staticmethod
    def _attention(query: paddle.Tensor, key: paddle.Tensor) -> paddle.Tensor:
        """Softmax over column then row.

        Args:
            query: N×C/8×H×W float32.
            key: N×C/8×H×W float32.

        Returns:
            N×H×W×(H+W) float32, rows summing to one.
        """
        along_column = query.transpose([0, 3, 2, 1]) @ key.transpose([0, 3, 1, 2])  # [N, W, H, H]
        along_row = query.transpose([0, 2, 3, 1]) @ key.transpose([0, 2, 1, 3])  # [N, H, W, W]
        # Comparing indices, not paddle.diag: this form exports, with dynamic sizes too.
        index = paddle.arange(query.shape[2])
        is_self = (index.unsqueeze(0) == index.unsqueeze(1)).astype("float32")  # [H, H]
        along_column = along_column + is_self * MASKED_LOGIT
        logits = paddle.concat([along_column.transpose([0, 2, 1, 3]), along_row], axis=3)
        return F.softmax(logits, axis=3)


def _compute_dtype(x: paddle.Tensor) -> paddle.dtype:
    """What mixed precision would make of a convolution's input: a function of one's own is not cast."""
    return getattr(paddle, paddle.get_autocast_dtype()) if paddle.is_autocast_enabled() else x.dtype
