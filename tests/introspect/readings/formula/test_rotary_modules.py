"""Attention of language models in the usual style: read under one to three declared lines, and questions without them."""

from dataclasses import replace
from pathlib import Path

import pytest

from mhsa.introspect.questions import load_under
from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from mhsa.records.request import Request
from tests.helpers.model_file import model_file

MODELS = """
import math

import torch
import torch.nn.functional as F
from torch import nn


class CausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        assert config.n_embd % config.n_head == 0
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.attn_dropout, self.resid_dropout = nn.Dropout(config.dropout), nn.Dropout(config.dropout)
        self.n_head, self.n_embd = config.n_head, config.n_embd
        self.register_buffer("tril", torch.tril(torch.ones(config.block_size, config.block_size))[None, None])

    def forward(self, x):
        T, C = x.shape[1:]
        q, k, v = (y.unflatten(-1, (self.n_head, -1)).transpose(1, 2) for y in self.c_attn(x).split(C, dim=2))
        att = q @ k.transpose(-2, -1) / math.sqrt(k.size(-1))
        att = F.softmax(att.masked_fill(self.tril[:, :, :T, :T] == 0, float("-inf")), dim=-1)
        return self.resid_dropout(self.c_proj((self.attn_dropout(att) @ v).transpose(1, 2).flatten(2)))


def rotate_half(x):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((-b, a), dim=-1)


class GroupedRotaryAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads, self.kv = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = config.hidden_size // self.heads
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.k_proj, self.v_proj = (nn.Linear(config.hidden_size, self.kv * self.head_dim, bias=False) for _ in range(2))
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, hidden_states, position_embeddings, attention_mask=None):
        maps = (self.q_proj, self.k_proj, self.v_proj)
        q, k, v = (p(hidden_states).unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for p in maps)
        cos, sin = (table.unsqueeze(1) for table in position_embeddings)
        q, k = (y * cos + rotate_half(y) * sin for y in (q, k))
        k, v = (y.repeat_interleave(self.heads // self.kv, dim=1) for y in (k, v))
        scores = q @ k.transpose(-2, -1) * self.head_dim**-0.5
        if attention_mask is not None:
            scores = scores + attention_mask
        return self.o_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class ComplexRotaryAttention(nn.Module):
    def __init__(self, dim, n_heads):
        super().__init__()
        self.n_heads, self.head_dim = n_heads, dim // n_heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(dim, dim, bias=False) for _ in range(4))

    def rotated(self, x, freqs_cis):
        pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * freqs_cis[:, None]).flatten(-2).type_as(x)

    def forward(self, x, freqs_cis, mask=None):
        q, k, v = (f(x).unflatten(-1, (self.n_heads, -1)) for f in (self.wq, self.wk, self.wv))
        q, k, v = (y.transpose(1, 2) for y in (self.rotated(q, freqs_cis), self.rotated(k, freqs_cis), v))
        scores = q @ k.mT / math.sqrt(self.head_dim)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], float("-inf"))
        return self.wo((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class InTwoTables(ComplexRotaryAttention):
    def forward(self, x, freqs_cos, freqs_sin, mask=None):
        assert freqs_cos.shape == freqs_sin.shape == (x.size(1), self.head_dim // 2)
        return super().forward(x, torch.complex(freqs_cos, freqs_sin), mask)


class OwnTables(ComplexRotaryAttention):
    def __init__(self, dim, n_heads, rope_theta=500.0):
        super().__init__(dim, n_heads)
        self.rope_theta = rope_theta

    def forward(self, x):
        d = self.head_dim
        angles = torch.outer(torch.arange(x.size(1)).double(), self.rope_theta ** -(torch.arange(0, d, 2).double() / d))
        later = torch.ones(len(angles), len(angles), dtype=torch.bool).tril().expand(len(x), -1, -1)
        return super().forward(x, torch.polar(torch.ones_like(angles), angles), later)


class ValuesToo(GroupedRotaryAttention):
    def forward(self, hidden_states, position_embeddings, attention_mask=None):
        cos, sin = position_embeddings
        return super().forward(hidden_states, (cos, -sin + 0 * cos), attention_mask) + self.o_proj(hidden_states) * 0.01
"""
LLAMA = {"rotary": "half", "kv_heads": "grouped", "mask": "additive"}
NAN = {"fully_masked_row": "nan", "reason": "softmax over -inf alone"}


file = model_file(MODELS, "language_model.py")


@pytest.mark.parametrize(
    ("name", "contract"),
    [
        ("CausalSelfAttention", {"causal": "top-left"}),
        ("GroupedRotaryAttention", LLAMA | NAN),
        ("ComplexRotaryAttention", {"rotary": "interleaved", **NAN}),
        ("InTwoTables", {"rotary": "interleaved", **NAN}),
        ("OwnTables", {"rotary": {"base": 500.0, "layout": "interleaved"}, "causal": "top-left"}),
    ],
)
def test_it_is_exactly_what_is_declared(file: Path, name: str, contract: dict) -> None:
    subject = understand(Request("a", f"{file}:{name}", contract=contract))
    assert Fit().without_mask(subject)
    assert not subject.adapter.takes_mask or Fit().with_mask(subject)


def test_another_layout_or_base_fits_not(file: Path) -> None:
    """Nor does a module with another output, whatever is declared."""
    for other in ({"rotary": "half"}, {"rotary": {"base": 500.0, "layout": "interleaved"}}, {"rotary": None}):
        subject = understand(Request("a", f"{file}:ComplexRotaryAttention", contract={"rotary": "interleaved", **NAN}))
        contract = replace(subject.contract, **other)
        assert not Fit().without_mask(subject.under(contract))
    assert not Fit().without_mask(understand(Request("a", f"{file}:ValuesToo", contract=LLAMA)))


@pytest.mark.parametrize(
    ("name", "declaration"),
    [
        ("CausalSelfAttention", {"causal": "top-left"}),
        ("GroupedRotaryAttention", {"rotary": "half", "mask": "additive"}),
        ("ComplexRotaryAttention", {"rotary": "interleaved"}),
        ("InTwoTables", {"rotary": "interleaved"}),
        ("OwnTables", {"rotary": {"base": 500.0, "layout": "interleaved"}, "causal": "top-left"}),
    ],
)
def test_undeclared_it_is_a_question_with_the_declaration(file: Path, name: str, declaration: dict) -> None:
    found = load_under(Request("a", f"{file}:{name}"))
    assert isinstance(found.question, Question)
    assert declaration.items() <= found.question.declaration.items()
    assert Fit().without_mask(found.subject)
