"""A second argument of an unknown name is the mask where that is exactly attention; where nothing fits it is a question."""

from pathlib import Path

import pytest

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from mhsa.records.request import Request
from tests.helpers.model_file import model_file

SOURCE = """
import torch
from torch import nn


class Nodes(nn.Module):
    def __init__(self, n_heads, dim):
        super().__init__()
        self.n_heads = n_heads
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(dim, dim) for _ in range(4))

    def attend(self, x, keys, edges=None, dim=-1):
        split = lambda t: t.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
        q, k, v = split(self.to_q(x)), split(self.to_k(keys)), split(self.to_v(keys))
        scores = q @ k.mT / q.size(-1) ** 0.5
        if edges is not None:
            scores = torch.where(edges[:, None] > 0, scores, torch.full_like(scores, -9e15))
        return self.to_out((scores.softmax(dim) @ v).transpose(1, 2).flatten(2))

    def forward(self, nodes, edges):
        return self.attend(nodes, nodes, edges)


class Adjacent(Nodes):
    def forward(self, nodes, adj):
        return self.attend(nodes, nodes, adj)


class Hidden(Nodes):
    def forward(self, nodes, gaps):
        return self.attend(nodes, nodes, 1 - gaps.int())


class Neighbours(Nodes):
    def forward(self, nodes, around):
        return self.attend(nodes, around)


class AlongTheWrongAxis(Nodes):
    def forward(self, nodes, edges):
        return self.attend(nodes, nodes, edges, dim=-2)


class NeighboursUnscaled(Nodes):
    def forward(self, nodes, around):
        return self.attend(nodes * nodes.size(-1), around)


class Shifted(Nodes):
    def forward(self, nodes, offset):
        return self.attend(nodes + offset.mean(1, keepdim=True), nodes)
"""
file = model_file(SOURCE)


@pytest.mark.parametrize("name", ["Nodes", "Adjacent"])
def test_it_is_the_mask_where_that_is_attention(file: Path, name: str) -> None:
    subject = understand(f"{file}:{name}")
    assert subject.adapter.inputs == "x"
    assert (subject.contract.mask, subject.contract.mask_shape) == ("allowed", "[B, Tq, Tk]")


def test_it_is_another_sequence_where_that_is_attention(file: Path) -> None:
    subject = understand(f"{file}:Neighbours")
    assert (subject.adapter.inputs, subject.adapter.takes_mask) == ("q,kv", False)


def test_it_is_another_sequence_where_its_tokens_are_attended_to(file: Path) -> None:
    spec = f"{file}:NeighboursUnscaled"
    assert understand(spec).adapter.inputs == "q,kv"
    assert verify(spec, dtypes="float64", properties="oracle.*").verdict == "violated"


def test_an_inverted_one_is_a_question_with_the_line(file: Path) -> None:
    with pytest.raises(Question) as asked:
        understand(f"{file}:Hidden")
    assert asked.value.declaration == {"mask": "blocked"}


@pytest.mark.parametrize("name", ["AlongTheWrongAxis", "Shifted"])
def test_it_is_a_question_where_nothing_fits(file: Path, name: str) -> None:
    with pytest.raises(Question, match="does not know what to give: with the keys there it is not attention, nor with a mask"):
        understand(f"{file}:{name}")


def test_what_a_mask_means_says_that_it_is_one(file: Path) -> None:
    with pytest.raises(Question) as asked:
        understand(f"{file}:AlongTheWrongAxis")
    assert asked.value.declaration == {"mask": "allowed"}
    subject = understand(Request("nodes", f"{file}:AlongTheWrongAxis", contract={"mask": "allowed"}))
    assert subject.adapter.takes_mask  # and the properties find what is wrong
