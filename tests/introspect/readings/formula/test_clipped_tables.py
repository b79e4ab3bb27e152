"""Biases of clipped distances: a question with the declaration; under it right modules hold, and wrong ones do not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mhsa
from mhsa.introspect.readings.fit import fits
from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question, SubjectError
from mhsa.records.request import Request
from mhsa.subject.generic_inputs import generic_case, is_exact
from mhsa.subject.trial import Trial
from tests.helpers.model_file import model_file

AFTERWARDS = "modes.gradients_after_calls_without_them"
FEW = ("oracle.output_without_mask", "biases.*", "gradients.gradients_of_parameters", AFTERWARDS)
MODELS = '''
import torch
from torch import nn


class InTheMiddle(nn.Module):
    """Row reach + j - i, of the nearest distance that there is, is added to the score of query i and key j."""

    def __init__(self, width, heads, reach=6):
        super().__init__()
        assert width % heads == 0
        self.heads, self.reach = heads, reach
        self.of_all, self.last = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.make()

    def make(self):
        self.nearness = nn.Parameter(torch.randn(2 * self.reach + 1, self.heads))

    def row(self, later):
        return later.clamp(-self.reach, self.reach) + self.reach

    def later(self, n):
        at = torch.arange(n)
        return at - at[:, None]

    def added(self, n):
        return self.nearness[self.row(self.later(n))].permute(2, 0, 1)

    def forward(self, x):
        q, k, v = self.of_all(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        s = q @ k.mT / q.size(-1) ** 0.5 + self.added(x.size(1))
        return self.last((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class FromTheEnd(InTheMiddle):
    def row(self, later):
        return self.reach - later.clamp(-self.reach, self.reach)


class HeadsFirst(InTheMiddle):
    def make(self):
        self.distance_bias = nn.Parameter(torch.randn(self.heads, 2 * self.reach + 1))

    def added(self, n):
        return self.distance_bias[:, self.row(self.later(n))]


class LookedUp(InTheMiddle):
    def make(self):
        self.relative_position_bias = nn.Embedding(2 * self.reach + 1, self.heads)

    def added(self, n):
        return self.relative_position_bias(self.row(self.later(n))).permute(2, 0, 1)


class Earlier(InTheMiddle):
    """No query sees a later key; row 0 is that of the own place."""

    def make(self):
        self.nearness = nn.Parameter(torch.randn(self.reach + 1, self.heads))

    def row(self, later):
        return (-later).clamp(0, self.reach)

    def added(self, n):
        return super().added(n).masked_fill(self.later(n) > 0, -torch.inf)


class EarlierHeadsFirst(Earlier):
    def make(self):
        self.nearness = nn.Parameter(torch.randn(self.heads, self.reach + 1))

    def added(self, n):
        later = self.later(n)
        return self.nearness[:, self.row(later)].masked_fill(later > 0, -torch.inf)


class KeptForInference(InTheMiddle):
    """What is added is kept where nothing asks for gradients, until the table changes."""

    kept = (None, None)

    def added(self, n):
        table = self.nearness
        if self.training or torch.is_grad_enabled():
            return super().added(n)
        if self.kept[0] != (n, table._version, table.data_ptr(), table.dtype):
            self.kept = (n, table._version, table.data_ptr(), table.dtype), super().added(n)
        return self.kept[1]


class UpToItsLength(InTheMiddle):
    """It has a row for each distance of so many tokens, and none for others."""

    def __init__(self, width, heads, tokens=12):
        super().__init__(width, heads, tokens - 1)

    def row(self, later):
        return later + self.reach


class UpToThirty(UpToItsLength):
    def __init__(self, width, heads):
        super().__init__(width, heads, 30)


class OfMemory(nn.Module):
    def __init__(self, d_model, num_heads, max_relative_position):
        super().__init__()
        assert d_model % num_heads == 0
        self.heads, self.most = num_heads, max_relative_position
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))
        self.rel_bias = nn.Parameter(torch.randn(num_heads, 2 * max_relative_position + 1))

    def clip(self, later):
        return later.clamp(-self.most, self.most)

    def forward(self, query, key, value, mask=None):
        pairs = ((self.q, query), (self.k, key), (self.v, value))
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f, x in pairs)
        later = torch.arange(k.size(2)) - torch.arange(q.size(2))[:, None]
        s = q @ k.mT / q.size(-1) ** 0.5 + self.rel_bias[:, self.clip(later) + self.most]
        if mask is not None:
            s = s.masked_fill(~mask[:, None], -1e9)
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class OfMemoryUnclipped(OfMemory):
    def clip(self, later):
        return (later + self.most) % (2 * self.most + 1) - self.most


class OneTooNear(InTheMiddle):
    def row(self, later):
        return later.clamp(1 - self.reach, self.reach - 1) + self.reach


class Negative(InTheMiddle):
    """Rows before the first are those at the end."""

    def row(self, later):
        return (later + self.reach).clamp(max=2 * self.reach) % (2 * self.reach + 1)


class NextHead(HeadsFirst):
    def added(self, n):
        return super().added(n).roll(1, 0)


class ScaledToo(LookedUp):
    def added(self, n):
        return super().added(n) * 0.5


class KeptWithoutItsGraph(KeptForInference):
    def added(self, n):
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.training):
            return super().added(n)


class EvenRows(InTheMiddle):
    def make(self):
        self.nearness = nn.Parameter(torch.randn(2 * self.reach, self.heads))

    def row(self, later):
        return later.clamp(-self.reach, self.reach - 1) + self.reach
'''
BOTH, MIRRORED = {"rule": "clipped", "direction": "both"}, {"rule": "clipped", "direction": "both", "order": "query - key"}
PAST = {"rule": "clipped", "direction": "past"}
RIGHT: dict[str, dict[str, Any]] = {
    "InTheMiddle": {"bias": BOTH},
    "FromTheEnd": {"bias": MIRRORED},
    "HeadsFirst": {"bias": BOTH},
    "LookedUp": {"bias": BOTH},
    "Earlier": {"bias": PAST, "causal": "top-left"},
    "KeptForInference": {"bias": BOTH},
    "UpToItsLength": {"bias": BOTH},
    "OfMemory": {"bias": BOTH},
}
WRONG = {
    "OneTooNear": "oracle.output_without_mask",
    "Negative": "oracle.output_without_mask",
    "NextHead": "oracle.output_without_mask",
    "ScaledToo": "oracle.output_without_mask",
    "OfMemoryUnclipped": "oracle.output_without_mask",
    "KeptWithoutItsGraph": AFTERWARDS,
}
file = model_file(MODELS, "clipped.py")


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_one_is_a_question_that_names_rule_and_order(file: Path, name: str) -> None:
    with pytest.raises(Question, match="a learned bias of the distance, of which the further ones share a row") as asked:
        understand(f"{file}:{name}", dtypes=("float64",))
    assert asked.value.declaration == RIGHT[name]
    assert str(asked.value).endswith("It is exactly right if so")


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_one_holds_under_it(file: Path, name: str) -> None:
    found = mhsa.verify(f"{file}:{name}", dtypes="float64", properties=FEW, contract=RIGHT[name])
    assert found.verdict == "holds", str(found)


@pytest.mark.parametrize("name", [name for name in WRONG if name != "KeptWithoutItsGraph"])
def test_a_wrong_one_is_no_question_with_that_claim(file: Path, name: str) -> None:
    with pytest.raises(SubjectError) as asked:
        understand(f"{file}:{name}", dtypes=("float64",))
    assert "It is exactly right" not in str(asked.value)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_one_is_violated_under_it(file: Path, name: str) -> None:
    found = mhsa.verify(f"{file}:{name}", dtypes="float64", properties=(WRONG[name],), contract={"bias": BOTH})
    assert found.verdict == "violated", str(found)


def test_the_order_that_is_declared_is_kept(file: Path) -> None:
    assert not fits(understand(Request("a", f"{file}:InTheMiddle", contract={"bias": MIRRORED})))
    assert not fits(understand(Request("a", f"{file}:FromTheEnd", contract={"bias": BOTH})))
    assert not fits(
        understand(Request("a", f"{file}:Earlier", contract=RIGHT["Earlier"] | {"bias": {**PAST, "order": "key - query"}}))
    )


@pytest.mark.parametrize("name", ["Earlier", "EarlierHeadsFirst"])
def test_the_heads_of_a_square_table_are_found(file: Path, name: str) -> None:
    """A table of as many rows as heads is read as it is in modules with other heads."""
    assert fits(understand(Request("a", f"{file}:{name}", contract=RIGHT["Earlier"], arguments={"reach": 3})))


def test_a_square_table_of_a_built_module_is_not_clear(file: Path) -> None:
    file.with_name("built.py").write_text(f"{file.read_text()}\n\nbuilt = EarlierHeadsFirst(20, 4, reach=3)\n")
    with pytest.raises(SubjectError, match="both of its axes are as long as there are heads"):
        understand(Request("a", f"{file.with_name('built.py')}:built", contract=RIGHT["Earlier"]))


def test_as_many_heads_as_rows_are_heads(file: Path) -> None:
    subject = understand(Request("a", f"{file}:HeadsFirst", contract={"bias": BOTH}, dtypes=("float64",)))
    answer = Trial(subject, replace(generic_case(subject), head=13), counted=False)()
    assert is_exact(answer.output, answer.expected.output)


def test_few_distances_have_rows_where_the_constructor_takes_their_number(file: Path) -> None:
    subject = understand(Request("a", f"{file}:OfMemory", contract={"bias": BOTH}))
    assert dict(subject.notes)["constructor"] == "max_relative_position=4, so that some distances of cases share a row"
    assert subject.adapter.build(3, 6).get_parameter("rel_bias").shape == (3, 9)


def test_a_module_that_ends_at_its_table_is_built_with_a_larger_one(file: Path) -> None:
    subject = understand(Request("a", f"{file}:UpToItsLength", contract={"bias": BOTH}))
    assert "tokens=1026: by default it takes no more than 12 positions" in str(subject.understood)
    with pytest.raises(Question, match="it takes at most 30 positions, because nearness is made for so"):
        understand(f"{file}:UpToThirty")


def test_an_even_number_of_rows_of_both_directions_is_a_question(file: Path) -> None:
    with pytest.raises(Question, match=r"has 2 m \+ 1 rows; this one has 12"):
        understand(Request("a", f"{file}:EvenRows", contract={"bias": BOTH}))
