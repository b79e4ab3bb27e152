"""Sizes with unknown names: what the source does with them says which they are, in a configuration as among arguments."""

from pathlib import Path
from typing import Any

import pytest

from mhsa.introspect.questions import load_under
from mhsa.introspect.readings.fit import fits
from mhsa.records.request import Request
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.construction.argument_use import use_of
from mhsa.subject.subject import Subject

SOURCE = """
import math
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, ARGUMENTS):
        super().__init__()
        INIT
        self.query, self.key, self.value, self.dense = (nn.Linear(self.size, self.size) for _ in range(4))

    def split(self, x):
        return x.view(x.size(0), x.size(1), self.parts, x.size(-1) // self.parts).transpose(1, 2)

    def forward(self, x):
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        w = (q @ k.transpose(-1, -2) / math.sqrt(SCALE)).softmax(-1)
        return self.dense((w @ v).transpose(1, 2).reshape(x.shape))
"""
CHECK = "assert self.size % self.parts == 0"
INITS = {
    "an attribute next to a width": "self.parts, self.size = config.shead, config.hidden_size\n        " + CHECK,
    "an item": "self.parts, self.size = config['n_att'], config['hidden_size']\n        " + CHECK,
    "no name is known": "self.parts, self.size = config.n_att, config.feat\n        " + CHECK,
    "reshaped alone": "self.parts, self.size = config.shead, config.feat",
    "kept under its name": "self.num_heads, self.hidden_size = config.a, config.b\n        "
    "self.parts, self.size = self.num_heads, self.hidden_size\n        " + CHECK,
    "of a part": "part = config.text\n        self.parts, self.size = config.text.shead, config.text.feat\n        " + CHECK,
}


def loaded(folder: Path, init: str, scale: str = "q.size(-1)", arguments: str = "config") -> tuple[Subject, str]:
    """Return the subject and what was asked."""
    file = folder / f"m{abs(hash((init, scale, arguments)))}.py"
    file.write_text(SOURCE.replace("INIT", init).replace("SCALE", scale).replace("ARGUMENTS", arguments))
    found = load_under(Request.of(f"{file}:Attention", dtypes=("float64",)))
    assert isinstance(found.subject, Subject), str(found.subject)
    return found.subject, str(found.question or "")


@pytest.mark.parametrize("case", INITS)
def test_a_number_of_heads_of_any_name_is_read(tmp_path: Path, case: str) -> None:
    subject, asked = loaded(tmp_path, INITS[case])
    assert fits(subject)
    assert subject.adapter.sizes is None  # any number of heads and any width
    assert asked == "" or "d_model % head" in asked


@pytest.mark.parametrize("case", INITS)
def test_a_wrong_one_is_violated(tmp_path: Path, case: str) -> None:
    """The weights show the number of heads, whatever else is wrong: nothing is asked."""
    subject, asked = loaded(tmp_path, INITS[case], "x.size(-1)")
    assert not fits(subject)
    assert "mhsa chose" not in asked


def test_among_arguments_likewise(tmp_path: Path) -> None:
    init = "self.parts, self.size = att, feat\n        " + CHECK
    subject, asked = loaded(tmp_path, init, arguments="feat, att")
    assert fits(subject)
    assert not asked
    subject, asked = loaded(tmp_path, init, "x.size(-1)", arguments="feat, att")
    assert not fits(subject)
    assert not asked


def test_where_a_name_says_it_nothing_else_is_the_number_of_heads(tmp_path: Path) -> None:
    init = (
        "self.parts, self.size = config.num_heads, config.hidden_size\n        "
        + CHECK
        + "\n        self.small = nn.Linear(self.size, self.size // config.squeeze) if config.squeeze else None"
    )
    subject, _ = loaded(tmp_path, init)
    adapter: Any = subject.adapter
    assert isinstance(adapter, ModuleAdapter)
    assert adapter.constructor is not None
    assert adapter.constructor.guessed.get("config.squeeze") != "head"


class Reshaping:
    """What a source may do with a number of heads."""

    def __init__(self, one: int, two: int, three: int, other: int) -> None:
        self.one, self.two, self.three, self.other = one, two, three, other

    def forward(self, x: Any, rearrange: Any) -> Any:
        a = x.reshape(*x.shape[:2], self.one, -1)
        b = x.unflatten(-1, (self.two, -1))
        c = rearrange(x, "b t (h d) -> b h t d", h=self.three)
        return a, b, c, x.view(-1, self.other)


def test_what_features_are_reshaped_with() -> None:
    found = {name: use_of(Reshaping, name).divides for name in ("one", "two", "three", "other")}
    assert found == {"one": True, "two": True, "three": True, "other": False}
