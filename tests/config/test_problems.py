from __future__ import annotations

import pytest

from paddleseg.config.problems import Problem, ProblemError, raise_problems
from paddleseg.errors import ConfigError


@pytest.mark.parametrize(
    ("source", "path", "text"),
    [
        ("c.yml:3", ("loss", "types", 0), "c.yml:3 loss.types[0]: wrong"),
        ("c.yml:3", (), "c.yml:3: wrong"),
        # A command-line option that names the place already.
        ("--opts loss.types.0", ("loss", "types", 0), "--opts loss.types.0: wrong"),
        ("--scales", ("test_config", "scales"), "--scales: wrong"),
        ("--opts model", ("model", "type"), "--opts model model.type: wrong"),
    ],
)
def test_what_a_problem_says(source: str, path: tuple, text: str) -> None:
    assert str(Problem(source, path, "wrong")) == text


def test_no_problem() -> None:
    raise_problems([])


def test_one_problem_is_its_own_message() -> None:
    problem = Problem("c.yml:3", ("a",), "wrong")
    for problems in ([problem], [problem, problem]):
        with pytest.raises(ConfigError, match=r"^c\.yml:3 a: wrong$"):
            raise_problems(problems)


def test_several_problems_are_listed_once_each_in_their_order() -> None:
    problems = [Problem("c.yml:9", ("b",), "wrong"), Problem("c.yml:3", ("a",), "bad")]
    with pytest.raises(ConfigError) as caught:
        raise_problems([*problems, problems[0]])
    assert str(caught.value) == "2 problems in the configuration:\nc.yml:9 b: wrong\nc.yml:3 a: bad"


def test_an_error_keeps_its_problem() -> None:
    problem = Problem("c.yml:3", ("a",), "wrong")
    error = ProblemError(problem)
    assert isinstance(error, ConfigError)
    assert error.problem is problem
    assert str(error) == "c.yml:3 a: wrong"


def test_thousands_of_problems_are_counted() -> None:
    with pytest.raises(ConfigError) as caught:
        raise_problems([Problem(f"c.yml:{line}", ("a",), "wrong") for line in range(1, 1001)])
    lines = str(caught.value).splitlines()
    assert lines[0] == "1000 problems in the configuration:"
    assert lines[1:51] == [f"c.yml:{line} a: wrong" for line in range(1, 51)]
    assert lines[51:] == ["… and 950 more"]
