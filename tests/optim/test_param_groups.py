from __future__ import annotations

import pytest
from paddle import nn

from paddleseg.errors import ConfigError
from paddleseg.optim.param_groups import assign_options, name_parameters, parse_rules


class Net(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
        self.head = nn.Linear(2, 1)


def factors(model: nn.Layer, custom_cfg: list[dict]) -> dict[str, tuple[float, float]]:
    names = [name for name, _ in model.named_parameters()]
    options = assign_options(model, parse_rules(custom_cfg))
    return {
        name: (option.lr_mult, option.weight_decay_mult) for name, option in zip(names, options, strict=True)
    }


def test_the_first_rule_that_matches_wins() -> None:
    rules = [
        {"name": "backbone.1", "weight_decay_mult": 0.0},
        {"name": "backbone", "lr_mult": 0.1, "weight_decay_mult": 2},
    ]
    assert factors(Net(), rules) == {
        "backbone.0.weight": (0.1, 2.0),
        "backbone.0.bias": (0.1, 2.0),
        "backbone.1.weight": (1.0, 0.0),
        "backbone.1.bias": (1.0, 0.0),
        "head.weight": (1.0, 1.0),
        "head.bias": (1.0, 1.0),
    }


def test_no_rules() -> None:
    assert parse_rules(None) == []
    assert set(factors(Net(), []).values()) == {(1.0, 1.0)}


def test_a_rule_for_nothing_suggests_a_name() -> None:
    with pytest.raises(ConfigError, match=r"custom_cfg\[1\]\.name: no parameter .*'bakbone'.*'backbone'\?"):
        factors(Net(), [{"name": "head"}, {"name": "bakbone", "lr_mult": 0.1}])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "head", "lr_mul": 0.1}, r"unknown key 'lr_mul'; did you mean 'lr_mult'\?"),
        ({"lr_mult": 0.1}, r"custom_cfg\[0\]\.name: got None"),
        ({"name": ""}, r"\.name: got ''"),
        ({"name": "head", "lr_mult": -1}, r"\.lr_mult: got -1"),
        ({"name": "head", "lr_mult": "0.1"}, r"\.lr_mult: got '0\.1'"),
        ({"name": "head", "weight_decay_mult": True}, r"\.weight_decay_mult: got True"),
    ],
)
def test_bad_entries(entry: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_rules([entry])


def test_names_do_not_depend_on_what_was_built_before() -> None:
    nn.Linear(3, 3)
    model = Net()
    name_parameters(model)
    assert [param.name for param in model.parameters()] == [name for name, _ in model.named_parameters()]
