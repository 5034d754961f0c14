"""Pictures: colours written out by hand, files read by Pillow."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from paddleseg.errors import UsageError
from paddleseg.visualise import (
    color_map,
    colourise,
    confusion_picture,
    overlay,
    palette_png_of,
    png_of,
    side_by_side,
)

# PASCAL VOC's colours 1 to 8 (its development kit's table), which PaddleSeg gives to classes 0 to 7.
VOC = [
    [128, 0, 0],
    [0, 128, 0],
    [128, 128, 0],
    [0, 0, 128],
    [128, 0, 128],
    [0, 128, 128],
    [128, 128, 128],
    [64, 0, 0],
]


class TestColorMap:
    def test_default_is_that_of_pascal_voc_from_one_on(self) -> None:
        colors = color_map()
        assert colors.shape == (256, 3)
        assert colors[:8].tolist() == VOC
        assert colors[19].tolist() == [0, 64, 128]  # number 20 of VOC: tv/monitor
        assert colors[254].tolist() == [224, 224, 192]  # number 255: the void colour
        assert len(np.unique(colors[:255], axis=0)) == 255

    def test_custom_colors_go_first(self) -> None:
        assert color_map(3, [1, 2, 3, 255, 0, 9]).tolist() == [[1, 2, 3], [255, 0, 9], VOC[2]]

    def test_the_data_set_s_palette_replaces_the_default(self) -> None:
        palette = [(10, 20, 30), (40, 50, 60)]
        assert color_map(3, palette=palette).tolist() == [[10, 20, 30], [40, 50, 60], VOC[2]]
        assert color_map(1, palette=palette).tolist() == [[10, 20, 30]]
        assert color_map(2, [7, 8, 9], palette=palette).tolist() == [[7, 8, 9], [40, 50, 60]]

    @pytest.mark.parametrize(
        "custom", [[1, 2], [1, 2, 256], [1, -2, 3], [0] * 9, [0.5, 1, 2], ["1", "2", "3"]]
    )
    def test_other_custom_colors_are_refused(self, custom: Sequence[int]) -> None:
        with pytest.raises(UsageError, match="custom_color: expected red green blue of each class"):
            color_map(2, custom)


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


class TestPaint:
    def test_each_class_gets_its_color_and_ignored_pixels_are_black(self) -> None:
        label = np.array([[0, 1], [255, 2]], dtype=np.uint8)
        painted = colourise(label, color_map(3))
        assert painted.tolist() == [[VOC[0], VOC[1]], [[0, 0, 0], VOC[2]]]
        assert painted.dtype == np.uint8

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
    def test_any_integer_type_with_a_full_palette(self, dtype: type) -> None:
        assert (
            colourise(np.array([[255]], dtype=dtype), color_map(256))[0, 0].tolist()
            == color_map(256)[255].tolist()
        )

    def test_negative_ignore_index_is_black(self) -> None:
        assert colourise(np.array([[-1]]), color_map(3)).tolist() == [[[0, 0, 0]]]

    def test_overlay_weighs_the_image_with_alpha(self) -> None:
        image = np.full((1, 2, 3), 100, dtype=np.uint8)
        label = np.array([[0, 3]], dtype=np.uint8)
        # 0.6 · 100 + 0.4 · 128 = 111.2; 0.6 · 100 = 60
        assert overlay(image, label, color_map()).tolist() == [[[111, 60, 60], [60, 60, 111]]]
        assert overlay(image, label, color_map(), alpha=1).tolist() == image.tolist()
        assert image.tolist() == np.full((1, 2, 3), 100).tolist()

    def test_a_grey_image_is_laid_under_in_grey(self) -> None:
        image = np.full((1, 1, 1), 100, dtype=np.uint8)
        label = np.array([[0]], dtype=np.uint8)
        assert overlay(image, label, color_map()).tolist() == [[[111, 60, 60]]]


class TestSideBySide:
    def test_a_grey_image_is_shown_in_grey(self) -> None:
        image = np.full((1, 2, 1), 9, dtype=np.uint8)
        picture = side_by_side(image, None, np.zeros((1, 2), int), color_map())
        assert picture[0, :2].tolist() == [[9, 9, 9], [9, 9, 9]]

    def test_panels_in_order_between_white_lines(self) -> None:
        image = np.full((4, 6, 3), 9, dtype=np.uint8)
        picture = side_by_side(image, np.full((4, 6), 1), np.full((4, 6), 2), color_map())
        assert picture.shape == (4, 3 * 6 + 2 * 2, 3)
        assert picture[0].tolist() == (
            6 * [[9, 9, 9]] + 2 * [[255, 255, 255]] + 6 * [VOC[1]] + 2 * [[255, 255, 255]] + 6 * [VOC[2]]
        )

    def test_without_a_label_two_panels(self) -> None:
        image = np.zeros((4, 6, 3), dtype=np.uint8)
        picture = side_by_side(image, None, np.zeros((4, 6), int), color_map())
        assert picture.shape == (4, 2 * 6 + 2, 3)
        assert picture[0, -1].tolist() == VOC[0]

    def test_wide_ones_are_scaled_down_in_proportion(self) -> None:
        image = np.zeros((50, 99, 3), dtype=np.uint8)
        picture = side_by_side(image, None, np.zeros((50, 99), int), color_map(), max_width=100)
        assert picture.shape == (25, 100, 3)  # 200 wide before


class TestConfusionPicture:
    def test_cells_are_rows_shares_from_white_to_blue(self) -> None:
        matrix = np.array([[3, 1], [0, 0]])
        picture = confusion_picture(matrix, ["road", "car"], cell=40)
        assert picture.dtype == np.uint8
        cells = picture[-80:, -80:]
        # 255 − 0.75 · (255 − (8, 48, 107)), 255 − 0.25 · …, and grey for a class without pixels
        assert cells[1, 1].tolist() == [70, 100, 144]
        assert cells[1, 41].tolist() == [193, 203, 218]
        assert cells[41, 1].tolist() == [224, 224, 224]
        assert cells[79, 79].tolist() == [224, 224, 224]

    def test_numbers_and_names_are_written(self) -> None:
        picture = confusion_picture(np.array([[3, 1], [0, 4]]), ["road", "car"], cell=40)
        margin = len(picture) - 80
        assert (picture[margin : margin + 40, :margin] < 128).any()
        assert (picture[:margin, margin : margin + 40] < 128).any()
        # 75 and 25 are written; the 0 below them is not.
        assert picture[margin : margin + 40, margin : margin + 40].max() > 150
        assert picture[margin : margin + 40, margin + 40 :].min() < 100
        assert (picture[margin + 40 :, margin : margin + 40] == 255).all()

    def test_names_the_font_lacks_are_written_as_numbers(self) -> None:
        matrix = np.eye(2, dtype=int)
        np.testing.assert_array_equal(
            confusion_picture(matrix, ["道路", "天空"]), confusion_picture(matrix, ["0", "1"])
        )


class TestPng:
    def test_color_image_comes_back_in_rgb(self) -> None:
        image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
        read = opened(png_of(image))
        assert read.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(read), image)

    @pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
    def test_class_ids_come_back_unchanged(self, dtype: type, top: int) -> None:
        label = np.array([[0, 1, top], [7, 8, 9]], dtype=dtype)
        np.testing.assert_array_equal(np.asarray(opened(png_of(label))), label)

    def test_palette_image_holds_ids_and_colors(self) -> None:
        label = np.array([[0, 1], [2, 255]], dtype=np.uint8)
        read = opened(palette_png_of(label, color_map()))
        assert read.mode == "P"
        np.testing.assert_array_equal(np.asarray(read), label)
        np.testing.assert_array_equal(np.asarray(read.convert("RGB")), color_map()[label])

    def test_ids_above_a_byte_are_painted_in_rgb(self) -> None:
        read = opened(palette_png_of(np.array([[0, 299]], dtype=np.uint16), color_map(300)))
        assert np.asarray(read).tolist() == [[VOC[0], color_map(300)[299].tolist()]]
