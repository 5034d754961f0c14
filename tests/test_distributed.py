from __future__ import annotations

import pytest

from paddleseg import distributed
from paddleseg.errors import UsageError


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PADDLE_TRAINER_ID", raising=False)
    monkeypatch.delenv("PADDLE_TRAINERS_NUM", raising=False)


def test_one_process_without_a_launcher() -> None:
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)


def test_empty_variables_are_no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDLE_TRAINER_ID", "")
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "")
    assert (distributed.rank(), distributed.world_size()) == (0, 1)


@pytest.mark.parametrize(("place", "main"), [("0", True), ("1", False), ("3", False)])
def test_the_launchers_place(monkeypatch: pytest.MonkeyPatch, place: str, main: bool) -> None:
    monkeypatch.setenv("PADDLE_TRAINER_ID", place)
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "4")
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (int(place), 4, main)


@pytest.mark.parametrize("text", ["one", "-1", "1.5", "²"])
def test_a_rank_that_is_no_number_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PADDLE_TRAINER_ID", text)
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    with pytest.raises(
        UsageError, match=f"PADDLE_TRAINER_ID='{text}': expected a whole number of at least 0"
    ):
        distributed.rank()


def test_no_processes_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "0")
    with pytest.raises(UsageError, match="PADDLE_TRAINERS_NUM='0': expected a whole number of at least 1"):
        distributed.world_size()


def test_a_rank_beyond_the_world_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDLE_TRAINER_ID", "2")
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    with pytest.raises(UsageError, match="PADDLE_TRAINER_ID=2: expected less than PADDLE_TRAINERS_NUM=2"):
        distributed.rank()
