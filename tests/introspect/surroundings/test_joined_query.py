"""An out projection that is given the query next to the heads: the query's part of it is left out, and the heads are judged."""

from pathlib import Path

import pytest

from mhsa.introspect.readings.fit import fits
from mhsa.introspect.resolve import understand
from mhsa.subject.parameter_layout import Sizes
from tests.helpers.model_file import model_file

MODELS = """
import torch
from torch import nn


class QueryFirst(nn.Module):
    def __init__(self, d_model, n_heads):
        super().__init__()
        assert d_model % n_heads == 0
        self.h = n_heads
        self.w_q, self.w_k, self.w_v = (nn.Linear(d_model, d_model, bias=False) for _ in range(3))
        self.fuse = nn.Linear(2 * d_model, d_model)

    def forward(self, query, context, mask=None):
        q, k, v = self.w_q(query), self.w_k(context), self.w_v(context)
        q, k, v = (y.unflatten(-1, (self.h, -1)).transpose(1, 2) for y in (q, k, v))
        s = q @ k.mT / q.size(-1) ** 0.5
        if mask is not None:
            s = s.masked_fill(~mask[:, None], torch.finfo(s.dtype).min)
        return self.fuse(self.joined(query, self.merged(s.softmax(-1) @ v)))

    def merged(self, heads):
        return heads.transpose(1, 2).flatten(2)

    def joined(self, query, heads):
        return torch.cat((query, heads), dim=-1)


class MergedWrongly(QueryFirst):
    def merged(self, heads):
        return heads.reshape(len(heads), heads.size(2), -1)


class HeadsFirst(QueryFirst):
    def __init__(self, d_model, n_heads):
        super().__init__(d_model, n_heads)
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x, mask=None):
        return self.norm(x + super().forward(x, x, mask))

    def joined(self, query, heads):
        return torch.cat((heads, query), dim=-1)


class MemoryFirst(QueryFirst):
    def forward(self, memory, decoder_input, mask=None):
        return super().forward(decoder_input, memory, mask)


class ChangedQuery(QueryFirst):
    def joined(self, query, heads):
        return torch.cat((1.01 * query, heads), dim=-1)
"""
file = model_file(MODELS)


@pytest.mark.parametrize("name", ["QueryFirst", "HeadsFirst", "MemoryFirst"])
def test_a_query_that_is_joined_with_the_heads(file: Path, name: str) -> None:
    subject = understand(f"{file}:{name}")
    assert fits(subject)
    assert "query joined with the heads" in subject.not_judged


def test_what_is_wrong_with_such_heads_is_judged(file: Path) -> None:
    assert not fits(understand(f"{file}:MergedWrongly"))


def test_all_parameters_of_such_a_module_are_accounted_for(file: Path) -> None:
    subject = understand(f"{file}:QueryFirst")
    module = subject.adapter.build(2, 4)
    found = subject.bind(module, Sizes(2, 2))
    views = [view for _, view in (*found.views(), *found.sources)]
    assert sum(view.read().numel() for view in views) == sum(p.numel() for p in module.parameters())


def test_a_query_that_is_changed_before_is_not_left_out(file: Path) -> None:
    with pytest.raises(Exception, match="features of one head differ"):
        understand(f"{file}:ChangedQuery")
