"""The syntax of --profiler_options."""

from __future__ import annotations

from typing import Any

import pytest

from paddleseg.engine.profiler_options import ProfilerOptions, parse_profiler_options
from paddleseg.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("batch_range=[50,60]", {"batch_range": (50, 60)}),
        # As in PaddleSeg's own test scripts.
        (
            "batch_range=[10, 20]; state=GPU; tracer_option=OpDetail; profile_path=model.profile;",
            {"state": "GPU", "tracer_option": "OpDetail", "profile_path": "model.profile"},
        ),
        (
            "sorted_key=max;exit_on_finished=False;timer_only=1",
            {"sorted_key": "max", "exit_on_finished": False, "timer_only": True},
        ),
        ("profile_path=a folder/b=c", {"profile_path": "a folder/b=c"}),
    ],
)
def test_pairs_replace_the_defaults(text: str, expected: dict[str, Any]) -> None:
    defaults = {
        "batch_range": (10, 20),
        "state": "All",
        "sorted_key": "total",
        "tracer_option": "Default",
        "profile_path": None,
        "exit_on_finished": True,
        "timer_only": False,
    }
    assert vars(parse_profiler_options(text)) == defaults | expected
    assert vars(ProfilerOptions()) == defaults


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_rang=[1,2]", r"no option 'batch_rang'; did you mean 'batch_range'\?"),
        ("colour=red", "no option 'colour': expected one of batch_range, state, "),
        ("state", "'state' has no '='"),
        ("state=gpu", r"state=gpu; did you mean 'GPU'\?"),
        ("state=FPGA", "state=FPGA: expected one of CPU, GPU, All"),
        ("state=CPU;state=GPU", "'state' comes twice"),
        ("sorted_key=calls", "sorted_key=calls: expected one of total, max, min, ave"),
        ("tracer_option=", "tracer_option=: expected one of Default, OpDetail, AllOpDetail"),
        ("profile_path=", "profile_path=: expected a folder"),
        ("exit_on_finished=perhaps", "exit_on_finished=perhaps: expected True or False"),
        ("timer_only=2", "timer_only=2: expected True or False"),
        *(
            (f"batch_range={bad}", r"expected \[first,end\] with 0 <= first < end")
            for bad in (
                "[5,5]",
                "[6,5]",
                "[-1,5]",
                "5,6",
                "[5]",
                "[1,2,3]",
                "[a,b]",
                "",
                "[1," + "9" * 5000 + "]",
                "[" + "9" * 5000 + ",1]",
            )
        ),
    ],
)
def test_a_wrong_option_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=rf"^--profiler_options: .*{message}.*for example"):
        parse_profiler_options(text)
