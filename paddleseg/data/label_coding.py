"""From what label files hold to class ids: ``color_map``, ``reduce_zero_label``, ``label_map``, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from paddleseg.config.hints import Between, conforms
from paddleseg.data.colour_table import Colour, ColourTable
from paddleseg.data.masks import wrong_values
from paddleseg.data.transforms.sample import LabelArray
from paddleseg.errors import DataError

__all__ = ["IGNORE", "ColorMap", "LabelCoding", "LabelMap", "parse_coding"]

LabelMap: TypeAlias = Mapping[str, int | str]
ColorMap: TypeAlias = Sequence[Any] | Mapping[str, int | str]

IGNORE = "ignore"
"""How a configuration names ``ignore_index`` as a target."""
_OTHER = "other"
_CLASS_IDS = Between(0, 65535)


@dataclass(frozen=True)
class LabelCoding:
    """How the values of a label file become class ids; made by :func:`parse_coding`.

    Attributes:
        ignore_index: The id that takes no part; a value of the file that is equal to it stays what it is.
        reduce_zero_label: Whether 0 becomes ``ignore_index`` and every other id one less.
        label_map: (id, its class or ``ignore_index``) by id, after the steps before; None keeps all ids.
        ignores_others: Whether ids that ``label_map`` does not list become ``ignore_index``.
        colours: (colour, its id) of files whose colours stand for classes; None for files with ids.
        ignores_colours: Whether colours that are not listed become ``ignore_index``.
    """

    ignore_index: int = 255
    reduce_zero_label: bool = False
    label_map: tuple[tuple[int, int], ...] | None = None
    ignores_others: bool = False
    colours: tuple[tuple[Colour, int], ...] | None = None
    ignores_colours: bool = False

    @property
    def class_count(self) -> int | None:
        """The classes that the maps name, the largest id + 1; None where they do not tell."""
        targets = self.label_map
        if targets is None and not self.reduce_zero_label:
            targets = self.colours  # type: ignore[assignment]
        classes = [target for _, target in targets or () if target != self.ignore_index]
        return max(classes) + 1 if classes else None

    def count_classes(
        self,
        *,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        default: int | None = None,
    ) -> int | None:
        """The number of classes by the first that tells it: what is given, names, maps, the default."""
        if num_classes is not None:
            return num_classes
        if class_names is not None:
            return len(class_names)
        return self.class_count or default

    def check_classes(self, num_classes: int) -> None:
        """Makes sure that the ids which are mapped to are classes.

        Raises:
            ValueError: One is not; the message begins with the parameter's name.
        """
        if num_classes < 1:
            raise ValueError(f"num_classes: expected at least 1, got {num_classes}")
        if self.class_count is not None and self.class_count > num_classes:
            name = "color_map" if self.label_map is None else "label_map"
            raise ValueError(
                f"{name}: names class {self.class_count - 1}, expected 0..{num_classes - 1} "
                f"(num_classes is {num_classes})"
            )
        if self.reduce_zero_label and 0 <= self.ignore_index < num_classes:
            raise ValueError(
                f"ignore_index: {self.ignore_index} is a class, and reduce_zero_label would make it of 0; "
                "set ignore_index: 255"
            )

    def facts(self) -> dict[str, Any]:
        """What decides the ids besides ``ignore_index``, for JSON; nothing where files hold class ids."""
        found: dict[str, Any] = {}
        if self.reduce_zero_label:
            found["reduce_zero_label"] = True
        if self.label_map is not None:
            found["label_map"] = _as_text(self.label_map, self.ignores_others)
        if self.colours is not None:
            found["color_map"] = _as_text(self.colours, self.ignores_colours)
        return found

    def apply(self, label: NDArray[Any], path: str) -> LabelArray:
        """Maps a decoded label.

        Args:
            label: [H, W] values, or [H, W, 3] uint8 colours where there is a ``color_map``; not written to.
            path: Its file, for messages.

        Returns:
            [H, W] class ids; uint8 where input and ``ignore_index`` fit, else int32.

        Raises:
            DataError: It holds a colour or an id that is not listed.
        """
        if self._colour_table is not None:
            label = self._colour_table.look_up(label, path)
        if self.label_map is not None and not self.ignores_others:
            self._refuse_unlisted(label, path)
        if not self.reduce_zero_label and self.label_map is None:
            return label
        if label.dtype == np.uint8:
            return cv2.LUT(label, self._byte_table)
        values = np.unique(label)
        targets = np.array([self._target(int(value)) for value in values], dtype=np.int32)
        return targets[np.searchsorted(values, label)]

    @cached_property
    def _colour_table(self) -> ColourTable | None:
        if self.colours is None:
            return None
        return ColourTable(self.colours, other=self.ignore_index if self.ignores_colours else None)

    @cached_property
    def _byte_table(self) -> NDArray[Any]:
        table = np.array([self._target(value) for value in range(256)])
        return table.astype(np.uint8 if table.min() >= 0 and table.max() < 256 else np.int32)

    @cached_property
    def _classes(self) -> dict[int, int]:
        return dict(self.label_map or ())

    def _target(self, value: int) -> int:
        if self.reduce_zero_label and value != self.ignore_index:
            value = value - 1 if value else self.ignore_index
        if self.label_map is None:
            return value
        return self._classes.get(value, self.ignore_index)

    def _refuse_unlisted(self, label: NDArray[Any], path: str) -> None:
        first = int(self.reduce_zero_label)
        known = [*(value + first for value in self._classes), self.ignore_index]
        unlisted = wrong_values(label, [0, *known] if first else known)
        if unlisted:
            names = ", ".join(str(value - first) for value in unlisted[:8])
            more = ", …" if len(unlisted) > 8 else ""
            raise DataError(
                f"{path}: the label holds {names}{more} on {np.isin(label, unlisted).sum()} pixels, which "
                f"label_map does not list; add them to it, or '{_OTHER}: {IGNORE}' for all of them"
            )


def parse_coding(
    *,
    ignore_index: int = 255,
    reduce_zero_label: bool = False,
    label_map: LabelMap | None = None,
    color_map: ColorMap | None = None,
) -> LabelCoding:
    """Reads the keys of a data set's block.

    Args:
        ignore_index: The id that takes no part.
        reduce_zero_label: 0 becomes ``ignore_index``, every other id one less, as mmsegmentation has it.
        label_map: ``{id: class}``; a class may be the word ``ignore``, and the entry ``other: ignore`` takes
            all that is not listed.
        color_map: A list of colours [R, G, B] in the order of their ids; or ``{"R,G,B": id}``; or a list of
            ``{color: [R, G, B], id: id}``. An id may be ``ignore``; the mapping may have ``other: ignore``.

    Raises:
        ValueError: A key is malformed; the message begins with its name.
    """
    ids = None if label_map is None else _parse_label_map(label_map, ignore_index)
    colours = None if color_map is None else _parse_color_map(color_map, ignore_index)
    maker = _maker_of_ignored(ignore_index, reduce_zero_label, colours)
    if maker is not None and ids is not None and any(source == ignore_index for source, _ in ids[0]):
        raise ValueError(
            f"label_map: lists {ignore_index}, which is ignore_index and what {maker} makes of what is to be "
            f"ignored; take it out, or change {maker}"
        )
    return LabelCoding(
        ignore_index,
        reduce_zero_label,
        *((None, False) if ids is None else ids),
        *((None, False) if colours is None else colours),
    )


def _maker_of_ignored(
    ignore_index: int, reduce_zero_label: bool, colours: tuple[tuple[tuple[Colour, int], ...], bool] | None
) -> str | None:
    """The key before label_map that makes ``ignore_index`` of something."""
    if reduce_zero_label:
        return "reduce_zero_label"
    if colours is None:
        return None
    listed, ignores_others = colours
    makes = ignores_others or any(target == ignore_index for _, target in listed)
    return "color_map" if makes else None


def _parse_label_map(entries: Any, ignore_index: int) -> tuple[tuple[tuple[int, int], ...], bool]:
    if not isinstance(entries, Mapping):
        raise ValueError(f"label_map: expected a mapping such as {{0: 0, 7: ignore, 11: 1}}, got {entries!r}")
    ignores_others = _takes_others("label_map", entries)
    pairs: dict[int, int] = {}
    for key, target in entries.items():
        if key == _OTHER:
            continue
        source = _whole_number(key)
        if source is None:
            raise ValueError(f"label_map: expected ids of the files as keys, got {key!r}")
        if source in pairs:
            raise ValueError(f"label_map: {source} is listed twice")
        pairs[source] = _target_of("label_map", key, target, ignore_index)
    if not any(target != ignore_index for target in pairs.values()):
        raise ValueError("label_map: names no class; at least one id must become one")
    return tuple(sorted(pairs.items())), ignores_others


def _parse_color_map(entries: Any, ignore_index: int) -> tuple[tuple[tuple[Colour, int], ...], bool]:
    ignores_others = False
    pairs: list[tuple[Any, Any]]
    if isinstance(entries, Mapping):
        ignores_others = _takes_others("color_map", entries)
        pairs = [(_split_colour(key), target) for key, target in entries.items() if key != _OTHER]
    elif not isinstance(entries, (list, tuple)):
        raise ValueError(f"color_map: expected a list of colours [R, G, B] or a mapping, got {entries!r}")
    elif any(isinstance(entry, Mapping) for entry in entries):
        pairs = [_colour_and_id(entry, place) for place, entry in enumerate(entries)]
    else:
        pairs = [(entry, place) for place, entry in enumerate(entries)]
    found: dict[Colour, int] = {}
    for colour, target in pairs:
        if not conforms(list(colour) if isinstance(colour, tuple) else colour, Colour):
            raise ValueError(f"color_map: expected colours of three numbers 0..255 (R, G, B), got {colour!r}")
        red, green, blue = colour
        if (red, green, blue) in found:
            raise ValueError(f"color_map: the colour {red},{green},{blue} is listed twice")
        found[red, green, blue] = _target_of("color_map", colour, target, ignore_index)
    if not found:
        raise ValueError("color_map: lists no colour")
    return tuple(found.items()), ignores_others


def _takes_others(name: str, entries: Mapping[Any, Any]) -> bool:
    if _OTHER not in entries:
        return False
    if entries[_OTHER] != IGNORE:
        raise ValueError(f"{name}: '{_OTHER}' can only be '{IGNORE}', got {entries[_OTHER]!r}")
    return True


def _colour_and_id(entry: Any, place: int) -> tuple[Any, Any]:
    if not isinstance(entry, Mapping) or set(entry) != {"color", "id"}:
        raise ValueError(f"color_map: expected {{color: [R, G, B], id: ID}} as entry {place}, got {entry!r}")
    return entry["color"], entry["id"]


def _split_colour(key: Any) -> Any:
    parts = [_whole_number(part.strip()) for part in str(key).split(",")]
    return key if None in parts else parts


def _target_of(name: str, key: Any, target: Any, ignore_index: int) -> int:
    if target == IGNORE:
        return ignore_index
    if type(target) is int and (target == ignore_index or _CLASS_IDS(target)):
        return target
    raise ValueError(
        f"{name}: expected a class id of at least 0 or the word '{IGNORE}' for {key}, got {target!r}"
    )


def _whole_number(key: Any) -> int | None:
    """Keys of YAML are text here."""
    if isinstance(key, str) and key.lstrip("-").isdecimal() and key.isascii():
        return int(key)
    return key if type(key) is int else None


def _as_text(pairs: tuple[tuple[Any, int], ...], others: bool) -> str:
    entries = [
        f"{','.join(map(str, one)) if isinstance(one, tuple) else one}: {target}" for one, target in pairs
    ]
    return "; ".join([*entries, *([f"{_OTHER}: {IGNORE}"] if others else [])])
