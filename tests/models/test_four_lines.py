"""Convolution by half the products against a loop in float64."""

from __future__ import annotations

import cv2
import numpy as np
import paddle
import pytest

from paddleseg.models.layers import convolution, four_lines
from paddleseg.models.layers.convolution import ShiftedConvolution
from paddleseg.models.layers.four_lines import FourLines
from paddleseg.models.layers.matrix_library import has_matrix_library

pytestmark = pytest.mark.skipif(not has_matrix_library(), reason="this build of Paddle does not bring MKL")


def by_loop(kernel: np.ndarray, image: np.ndarray, dilation: int) -> np.ndarray:
    """D×H×W of D×C×3×3 and C×H×W, tap by tap in float64."""
    height, width = image.shape[1:]
    padded = np.pad(image.astype("float64"), ((0, 0), (dilation, dilation), (dilation, dilation)))
    result = np.zeros((len(kernel), height, width))
    for row in range(3):
        for column in range(3):
            met = padded[:, row * dilation :][:, :height, column * dilation :][..., :width]
            result += np.einsum("dc,chw->dhw", kernel[:, :, row, column], met)
    return result


def taps_of(kernel: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(kernel.transpose(2, 3, 0, 1)).reshape(9, *kernel.shape[:2])


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("size", [(1, 1), (3, 7), (4, 1), (8, 5), (13, 6), (18, 31)], ids=str)
@pytest.mark.parametrize("pixels_at_once", [1, 40, 2**12])
def test_equals_a_loop_forward_and_turned(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], dilation: int, pixels_at_once: int
) -> None:
    monkeypatch.setattr(four_lines, "_PIXELS_AT_ONCE", pixels_at_once)
    generator = np.random.default_rng(sum(size) + dilation)
    kernel = generator.normal(size=(19, 5, 3, 3)).astype("float32")
    for turned in (False, True):
        met = kernel[:, :, ::-1, ::-1].swapaxes(0, 1) if turned else kernel
        image = generator.normal(size=(met.shape[1], *size)).astype("float32")
        image.setflags(write=False)
        got = np.full((len(met), *size), np.nan, dtype="float32")
        FourLines(*size, dilation).convolve(taps_of(kernel), image, got, turned=turned)
        np.testing.assert_allclose(got, by_loop(met, image, dilation), rtol=1e-5, atol=5e-5)


def test_surplus_is_the_share_of_lines_beyond_the_image() -> None:
    assert FourLines(8, 5, 2).surplus == 0
    assert FourLines(65, 5, 4).surplus == pytest.approx(80 / 65 - 1)
    assert FourLines(1, 5, 1).surplus == 3


def test_any_number_of_threads_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    kernel, image = (generator.normal(size=size).astype("float32") for size in [(40, 33, 3, 3), (33, 9, 8)])
    results = []
    for threads in (0, 1, 3):
        monkeypatch.setattr(cv2, "getNumThreads", lambda threads=threads: threads)
        results.append(np.empty((40, 9, 8), dtype="float32"))
        FourLines(9, 8, 1).convolve(taps_of(kernel), image, results[-1])
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_the_largest_convolutions_use_it_and_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []
    convolve = FourLines.convolve

    def spy(self: FourLines, *arrays: np.ndarray, turned: bool = False) -> None:
        calls.append(turned)
        convolve(self, *arrays, turned=turned)

    monkeypatch.setattr(FourLines, "convolve", spy)
    x, weight = paddle.randn([2, 3, 24, 20]), paddle.randn([4, 3, 3, 3])
    upstream = paddle.randn([2, 4, 24, 20])
    results = []
    for pixels in (24 * 20 + 1, 24 * 20):
        monkeypatch.setattr(convolution, "_FOUR_LINES_PIXELS", pixels)
        x.stop_gradient = weight.stop_gradient = False
        output = ShiftedConvolution.apply(x, weight, 2)
        results.append([output, *paddle.grad([output], [x, weight], [upstream])])
        assert calls == [False, False, True, True][: 4 * (pixels == 24 * 20)]
    for shifted, halved in zip(*results, strict=True):
        np.testing.assert_allclose(halved.numpy(), shifted.numpy(), rtol=1e-4, atol=1e-4)
    calls.clear()
    ShiftedConvolution.apply(paddle.randn([1, 3, 26, 20]), weight, 4)  # 6 lines of 32 are too many
    ShiftedConvolution.apply(paddle.randn([1, 3, 24, 20]), paddle.randn([4, 3, 5, 5]), 1)
    assert calls == []
    monkeypatch.setattr(convolution, "_FOUR_LINES_PIXELS", 10**9)
    monkeypatch.setattr(convolution, "_FOUR_LINES_CHANNEL_PAIRS", 12)
    ShiftedConvolution.apply(paddle.randn([1, 3, 24, 20]), weight, 1)
    assert calls == [False]
