from __future__ import annotations

import pytest

from paddleseg import distributed
from paddleseg.errors import UsageError


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRAINER_ID", "TRAINERS_NUM", "RANK_IN_NODE", "LOCAL_SIZE", "MASTER"):
        monkeypatch.delenv(f"PADDLE_{name}", raising=False)


def test_one_process_without_a_launcher() -> None:
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
    assert (distributed.is_launched(), distributed.local_world_size()) == (False, 1)


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


def test_what_the_launcher_tells_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDLE_TRAINER_ID", "0")
    monkeypatch.setenv("PADDLE_LOCAL_SIZE", "2")
    assert (distributed.is_launched(), distributed.local_world_size()) == (True, 2)


@pytest.mark.parametrize(
    ("text", "address"), [("10.0.0.7:8090", ("10.0.0.7", 8090)), ("node-1:1", ("node-1", 1))]
)
def test_where_rank_0_is(monkeypatch: pytest.MonkeyPatch, text: str, address: tuple[str, int]) -> None:
    monkeypatch.setenv("PADDLE_MASTER", text)
    assert distributed.master() == address


@pytest.mark.parametrize("text", ["", "10.0.0.7", ":80", "host:", "host:²", "host:-1"])
def test_no_address_of_rank_0_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PADDLE_MASTER", text)
    with pytest.raises(UsageError, match=f"PADDLE_MASTER='{text}': expected host:port"):
        distributed.master()
