"""Reading in order: what replaces a bad sample, what never is replaced, and what errors say."""

from __future__ import annotations

import logging
import os
import random
import re
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddleseg.data.batch_reader import BatchReader
from paddleseg.data.datasets import Dataset, SampleKey
from paddleseg.data.transforms import Normalize, Sample
from paddleseg.errors import ConfigError, DataError

WORKERS = [0, 1, 2, 3]
# (index of the sample, its entropy, its checksum), for each of a batch
Seen = list[tuple[int, tuple[int, ...], float]]


def note(keys: Sequence[SampleKey], samples: list[Sample]) -> Seen:
    return [(key.index, key.entropy, float(s.image.sum())) for key, s in zip(keys, samples, strict=True)]


def index_of(sample: Sample) -> int:
    return int(Path(sample.image_path).stem)


def open_train(root: Path, transforms: list[Any]) -> Dataset:
    return Dataset("train", str(root), transforms, 3, train_path=str(root / "list.txt"))


def reader_of(dataset: Dataset, workers: int, *, skip: bool = True, timeout: float = 20) -> BatchReader[Seen]:
    return BatchReader(dataset, note, num_workers=workers, worker_timeout=timeout, skip_bad=skip)


def keys_of(*batches: Sequence[int], epoch: int = 0) -> list[list[SampleKey]]:
    return [[SampleKey(index, (7, epoch, index)) for index in batch] for batch in batches]


def indices(read: Any) -> list[list[int]]:
    return [[index for index, _, _ in batch] for batch, _ in read]


def without_worker(message: str) -> str:
    return re.sub(r"^data worker \d: ", "", message)


def comparable(read: Any) -> list[tuple[Seen, list[str]]]:
    """Which worker had a bad sample depends on their number."""
    return [(batch, [without_worker(message) for message in skipped]) for batch, skipped in read]


def spoil(root: Path, *numbers: int) -> None:
    for number in numbers:
        (root / f"images/{number:03d}.png").write_bytes(b"no picture")


class Once:
    """Whether something happens the first time: a file, since workers share nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str) -> bool:
        try:
            (self.folder / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


@pytest.mark.parametrize("workers", WORKERS)
def test_the_next_good_sample_replaces_a_bad_one(make_pairs, workers: int) -> None:
    root = make_pairs(6)
    spoil(root, 2, 3, 5)
    dataset = open_train(root, [Normalize()])
    wanted = keys_of([0, 1], [2, 4], [5, 3])
    (first, none), (second, for_two), (third, for_two_and_more) = reader_of(dataset, workers).read(wanted)
    assert (first, none) == (note(wanted[0], [dataset[key] for key in wanted[0]]), ())
    # 2 → 3 is bad too → 4, with random numbers of its own; 5 → 0 goes round; 3 → 4.
    assert second[0][:2] == (4, (7, 0, 2, 2))
    assert second[1][:2] == (4, (7, 0, 4))
    assert [seen[:2] for seen in third] == [(0, (7, 0, 5, 1)), (4, (7, 0, 3, 1))]
    reasons = {number: str(error_of(dataset, number)) for number in (2, 3, 5)}
    assert [without_worker(message) for message in for_two] == [reasons[2], reasons[3]]
    assert [without_worker(message) for message in for_two_and_more] == [reasons[5], reasons[3]]
    # Batch n is read by worker n modulo their number.
    names = {0: ["", ""], 1: ["data worker 0: "] * 2, 2: ["data worker 1: ", "data worker 0: "]}
    names[3] = ["data worker 1: ", "data worker 2: "]
    assert for_two[0].startswith(names[workers][0] + str(root))
    assert for_two_and_more[0].startswith(names[workers][1] + str(root))


def error_of(dataset: Dataset, index: int) -> DataError:
    with pytest.raises(DataError) as raised:
        dataset.load(index)
    return raised.value


@pytest.mark.parametrize("workers", WORKERS)
def test_bad_for_certain_random_numbers_only(make_pairs, workers: int) -> None:
    """What is remembered must not depend on the number of workers, nor on where reading began."""

    def moody(sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() < 0.4:
            raise DataError(f"{sample.image_path}: not today")
        return sample

    root = make_pairs(5)
    spoil(root, 1)
    order = np.random.default_rng(0)
    wanted = [
        batch
        for epoch in range(6)
        for batch in keys_of(*order.permutation(5)[:4].reshape(2, 2).tolist(), epoch=epoch)
    ]
    alone = comparable(reader_of(open_train(root, [moody]), 0).read(wanted))
    reader = reader_of(open_train(root, [moody]), workers)
    assert comparable(reader.read(wanted)) == alone
    assert comparable(reader.read(wanted)) == alone  # now that it knows the bad ones
    assert comparable(reader_of(open_train(root, [moody]), workers).read(wanted[5:])) == alone[5:]
    moods = {message for _, skipped in alone for message in skipped if "not today" in message}
    assert len(moods) > 2


@pytest.mark.parametrize(("workers", "name"), [(0, ""), (2, "data worker 1: ")])
def test_an_error_names_the_file_and_the_worker(make_pairs, workers: int, name: str) -> None:
    root = make_pairs(4)
    spoil(root, 3)
    read = reader_of(open_train(root, []), workers, skip=False).read(keys_of([0, 1], [2, 3]))
    next(read)
    with pytest.raises(DataError) as error:
        next(read)
    assert str(error.value).startswith(f"{name}{root}/images/003.png: cannot be decoded as an image")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_file_is_not_decoded_again(make_pairs, monkeypatch, tmp_path: Path, workers: int) -> None:
    root = make_pairs(4)
    spoil(root, 1)
    dataset = open_train(root, [])
    load, log = dataset.load, tmp_path / "log"

    def logged(index: int) -> Sample:
        with log.open("a") as file:
            file.write(f"{index}\n")
        return load(index)

    monkeypatch.setattr(dataset, "load", logged)
    reader = reader_of(dataset, workers)
    wanted = [batch for epoch in range(8) for batch in keys_of([1], [0], epoch=epoch)]
    assert indices(reader.read(wanted)) == [[2], [0]] * 8
    assert indices(reader.read(wanted)) == [[2], [0]] * 8
    # Once to load it and once to see whether it is the file; a second worker may have had it meanwhile.
    assert log.read_text().split().count("1") <= (2 if workers == 0 else 4)


@pytest.mark.parametrize("workers", [0, 2])
def test_too_many_in_a_row(make_pairs, workers: int) -> None:
    root = make_pairs(14)
    spoil(root, *range(2, 12))
    dataset = open_train(root, [])
    read = reader_of(dataset, workers).read(keys_of([0, 1], [12, 3], [2, 0]))
    assert indices(next(read) for _ in range(2)) == [[0, 1], [12, 12]]  # nine bad ones are passed over
    with pytest.raises(DataError, match=r"^10 samples in a row are bad; check the data set:\n") as error:
        next(read)
    assert [
        without_worker(line.strip()).split(":")[0][-7:] for line in str(error.value).splitlines()[1:]
    ] == [f"{number:03d}.png" for number in range(2, 12)]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("stride", "bad", "wanted", "got"),
    [
        (2, [0], 0, 2),
        (2, [24, 26], 24, 0),  # round the end, which is no multiple: the next but one of 26 is not 1
        (2, [25], 25, 1),
        (13, [0], 0, 13),
        (13, [13, 26], 13, 0),
        (13, [14], 14, 1),
    ],
)
def test_a_process_with_some_samples_replaces_by_its_own(
    make_pairs, monkeypatch, workers: int, stride: int, bad: list[int], wanted: int, got: int
) -> None:
    """A stand-in for a pack of which a process has opened its own shards alone."""
    root = make_pairs(27)
    spoil(root, *bad)
    dataset = open_train(root, [])
    load = dataset.load

    def own(index: int) -> Sample:
        assert index % stride == wanted % stride, "of another process"
        return load(index)

    monkeypatch.setattr(dataset, "load", own)
    reader = BatchReader(dataset, note, num_workers=workers, worker_timeout=20, skip_bad=True, stride=stride)
    assert indices(reader.read(keys_of([wanted]))) == [[got]]


def test_all_that_a_process_has_is_bad(make_pairs) -> None:
    root = make_pairs(27)
    spoil(root, 1, 14)
    reader = BatchReader(
        open_train(root, []), note, num_workers=0, worker_timeout=20, skip_bad=True, stride=13
    )
    with pytest.raises(DataError, match=r"2 samples in a row are bad.*\n.*014\.png.*\n.*001\.png"):
        next(reader.read(keys_of([14])))


def test_all_of_a_small_data_set_is_bad(make_pairs) -> None:
    root = make_pairs(3)
    spoil(root, 0, 1, 2)
    with pytest.raises(DataError, match="3 samples in a row are bad"):
        next(reader_of(open_train(root, []), 0).read(keys_of([1])))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("raised", "kind", "text"),
    [
        (ZeroDivisionError("oops"), RuntimeError, r"(?s)001\.png: loading failed:.*ZeroDivisionError: oops"),
        (ConfigError("wrong"), ConfigError, "^(data worker 0: )?wrong$"),
        (MemoryError(), MemoryError, r"001\.png: loading failed"),
    ],
)
def test_what_is_no_bad_data_is_never_skipped(make_pairs, workers: int, raised, kind, text: str) -> None:
    def broken(sample: Sample, rng: np.random.Generator) -> Sample:
        if index_of(sample) == 1:
            raise raised
        return sample

    with pytest.raises(kind, match=text):
        list(reader_of(open_train(make_pairs(3), [broken]), workers).read(keys_of([0], [1])))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_class_of_the_users_own(make_pairs, workers: int) -> None:
    class TooDarkError(DataError):
        def __init__(self, path: str, level: int) -> None:
            super().__init__(f"{path}: level {level}")

    def choosy(sample: Sample, rng: np.random.Generator) -> Sample:
        raise TooDarkError(sample.image_path, 3)

    dataset = open_train(make_pairs(3), [choosy])
    with pytest.raises(DataError, match=r"000\.png: level 3$"):
        next(reader_of(dataset, workers, skip=False).read(keys_of([0])))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("skip", [True, False])
def test_a_batch_that_cannot_be_joined_is_never_skipped(make_pairs, workers: int, skip: bool) -> None:
    def refuse(keys: Sequence[SampleKey], samples: list[Sample]) -> Seen:
        raise DataError("the sizes differ")

    dataset = open_train(make_pairs(3), [])
    reader = BatchReader(dataset, refuse, num_workers=workers, worker_timeout=5, skip_bad=skip)
    with pytest.raises(DataError, match=r"^(data worker 0: )?the sizes differ$"):
        next(reader.read(keys_of([0])))


def faulty(what: str, index: int, only_first: Once | None = None) -> Any:
    def transform(sample: Sample, rng: np.random.Generator) -> Sample:
        if index_of(sample) == index and (only_first is None or only_first(str(index))):
            if what == "hang":
                time.sleep(60)
            os.kill(os.getpid(), signal.SIGKILL)
        return sample

    return transform


@pytest.mark.parametrize(
    ("what", "how"),
    [
        ("kill", r"was killed by signal 9 \(SIGKILL\) while it loaded {files}; check that .* memory"),
        ("hang", r"has not moved for 0\.5 s while it loaded {files}; check .* or raise worker_timeout"),
    ],
)
def test_a_lost_worker_stops_the_run(make_pairs, what: str, how: str) -> None:
    root = make_pairs(4)
    reader = reader_of(open_train(root, [faulty(what, 3)]), 2, skip=False, timeout=0.5)
    read = reader.read(keys_of([0, 1], [2, 3], [1, 0]))
    assert indices([next(read)]) == [[0, 1]]
    with pytest.raises(DataError) as error:
        next(read)
    files = f"{root}/images/003.png and {root}/labels/003.png"
    pattern = rf"data worker 1 \(pid \d+\) {how.format(files=files)}"
    assert error.match(f"^{pattern}")


@pytest.mark.parametrize(("what", "deaths"), [("kill", 3), ("hang", 1)])
def test_a_file_that_takes_its_worker_along_is_skipped(make_pairs, caplog, what: str, deaths: int) -> None:
    root = make_pairs(4)
    reader = reader_of(open_train(root, [faulty(what, 2)]), 2, timeout=0.4)
    wanted = keys_of([0, 1], [3, 2], [1, 0], [2, 1])
    with caplog.at_level(logging.WARNING):
        read = list(reader.read(wanted))
    assert indices(read) == [[0, 1], [3, 3], [1, 0], [3, 1]]
    assert [len(skipped) for _, skipped in read] == [0, 1, 0, 1]
    assert "images/002.png" in read[1][1][0]
    # The second batch with it may have gone out before the first came back.
    assert deaths - 1 <= len(caplog.records) <= 2 * (deaths - 1)
    caplog.clear()
    assert indices(reader.read(wanted)) == indices(read)
    assert not caplog.records


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_killed_from_outside_change_nothing(make_pairs, tmp_path, caplog, workers: int) -> None:
    root = make_pairs(6)
    wanted = [b for epoch in range(3) for b in keys_of([0, 3], [4, 1], [2, 5], epoch=epoch)]
    undisturbed = list(reader_of(open_train(root, [Normalize()]), workers).read(wanted))
    once = Once(tmp_path)
    disturbed = open_train(root, [faulty("kill", 3, once), faulty("kill", 5, once), Normalize()])
    assert list(reader_of(disturbed, workers).read(wanted)) == undisturbed
    assert len(caplog.records) == 2
    assert all("Another worker gets its batch" in record.message for record in caplog.records)


class Deadly:
    """Ends the worker that would send it: after the last sample, so that no file can be blamed."""

    def __reduce__(self) -> Any:
        os._exit(4)


@pytest.mark.parametrize(("skip", "losses"), [(False, 0), (True, 10)])
def test_workers_that_die_between_samples_end_the_run(make_pairs, caplog, skip: bool, losses: int) -> None:
    def end(keys: Sequence[SampleKey], samples: list[Sample]) -> Deadly:
        return Deadly()

    dataset = open_train(make_pairs(2), [])
    reader = BatchReader(dataset, end, num_workers=1, worker_timeout=5, skip_bad=skip)
    with pytest.raises(DataError, match=r"worker 0 \(pid \d+\) ended with exit status 4 between two samples"):
        next(reader.read(keys_of([0])))
    assert len(caplog.records) == losses


@pytest.mark.parametrize("workers", [0, 2])
def test_global_generators_depend_on_the_key_alone(make_pairs, workers: int) -> None:
    def draw(sample: Sample, rng: np.random.Generator) -> Sample:
        image = sample.image.copy()
        image[0, 0] = random.random(), np.random.random(), 0
        return Sample(image, sample.label, image_path=sample.image_path)

    def pixels(keys: Sequence[SampleKey], samples: list[Sample]) -> list[tuple[float, ...]]:
        return [tuple(sample.image[0, 0, :2].tolist()) for sample in samples]

    dataset = open_train(make_pairs(4), [draw])
    reader = BatchReader(dataset, pixels, num_workers=workers, worker_timeout=5, skip_bad=False)
    wanted = keys_of([0, 1], [2, 3]) + keys_of([1, 0], [3, 2], epoch=1)
    drawn = [values for batch, _ in reader.read(wanted) for values in batch]
    assert len({value for values in drawn for value in values}) == 16
    again = [values for batch, _ in reader.read(wanted[::-1]) for values in batch]
    assert sorted(again) == sorted(drawn)


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_any_number_of_batches(make_pairs, workers: int, count: int) -> None:
    reader = reader_of(open_train(make_pairs(4), []), workers)
    assert indices(reader.read(keys_of(*([i] for i in range(count))))) == [[i] for i in range(count)]


def test_batches_are_asked_for_as_they_are_needed(make_pairs) -> None:
    asked = []

    def endless() -> Any:
        for number in range(1000):
            asked.append(number)
            yield keys_of([number % 4])[0]

    read = reader_of(open_train(make_pairs(4), []), 2).read(endless())
    assert indices(next(read) for _ in range(3)) == [[0], [1], [2]]
    assert len(asked) == 5  # one on its way in each worker
    read.close()
