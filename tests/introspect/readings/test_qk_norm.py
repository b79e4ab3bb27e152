"""Normalised queries and keys: gains and epsilon are read from the module, and what is not declared is a question."""

from pathlib import Path

import pytest

from mhsa.bugs.diagnosis.compared_cases import finely
from mhsa.bugs.diagnosis.match import compare
from mhsa.introspect.projections.norm_gains import role_of_norm
from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.resolve import understand
from mhsa.oracle.formula.fields import QkNorm
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.run.runner import Options, run
from mhsa.subject.parameter_layout import Sizes
from tests.helpers.model_file import model_file

MODELS = """
import torch
import torch.nn.functional as F
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.variance_epsilon = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        y = x.to(torch.promote_types(x.dtype, torch.float32))
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * y.to(x.dtype)


def rotate_half(x):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((-b, a), dim=-1)


class QwenAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads, self.kv = config.num_attention_heads, config.num_key_value_heads
        if config.hidden_size % self.heads:
            raise ValueError(f"hidden_size={config.hidden_size} is not a multiple of {self.heads}")
        self.head_dim = config.hidden_size // self.heads
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.k_proj, self.v_proj = (nn.Linear(config.hidden_size, self.kv * self.head_dim, bias=False) for _ in range(2))
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.q_norm, self.k_norm = (RMSNorm(self.head_dim, config.rms_norm_eps) for _ in range(2))

    def normed(self, q, k):
        return self.q_norm(q), self.k_norm(k)

    def forward(self, hidden_states, position_embeddings, attention_mask=None):
        q, k, v = (p(hidden_states).unflatten(-1, (-1, self.head_dim)) for p in (self.q_proj, self.k_proj, self.v_proj))
        q, k = self.normed(q, k)
        q, k, v = (y.transpose(1, 2) for y in (q, k, v))
        cos, sin = (table.unsqueeze(1) for table in position_embeddings)
        q, k = (y * cos + rotate_half(y) * sin for y in (q, k))
        k, v = (y.repeat_interleave(self.heads // self.kv, dim=1) for y in (k, v))
        scores = q @ k.transpose(-2, -1) * self.head_dim**-0.5
        if attention_mask is not None:
            scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
        return self.o_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class GainOfQueriesTwice(QwenAttention):
    def normed(self, q, k):
        return self.q_norm(q), self.q_norm(k)


class NeverNormed(QwenAttention):
    def normed(self, q, k):
        return q * self.q_norm.weight, k * self.k_norm.weight


class Inline(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        self.h = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))
        self.made(dim)

    def made(self, dim):
        pass

    def heads(self, x):
        q, k, v = (f(x).unflatten(-1, (self.h, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        return F.normalize(q, dim=-1), F.normalize(k, dim=-1), v

    def forward(self, x):
        q, k, v = self.heads(x)
        return self.o(((q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))


class InlineRms(Inline):
    def heads(self, x):
        q, k, v = (f(x).unflatten(-1, (self.h, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        q, k = (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-5) for y in (q, k))
        return q, k, v


class Layer(Inline):
    def made(self, dim):
        self.q_layernorm, self.k_layernorm = (nn.LayerNorm(dim // self.h, eps=1e-3) for _ in range(2))

    def heads(self, x):
        q, k, v = (f(x).unflatten(-1, (self.h, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        return self.q_layernorm(q), self.k_layernorm(k), v


class Together(Inline):
    def made(self, dim):
        self.norm_q, self.norm_k = (nn.RMSNorm(dim) for _ in range(2))

    def heads(self, x):
        q, k, v = self.norm_q(self.q(x)), self.norm_k(self.k(x)), self.v(x)
        return tuple(y.unflatten(-1, (self.h, -1)).transpose(1, 2) for y in (q, k, v))


class ValuesTurned(Layer):
    def heads(self, x):
        q, k, v = super().heads(x)
        return q, k, v.flip(-1)
"""
QWEN = {"rotary": "half", "kv_heads": "grouped", "qk_norm": "rms"}


file = model_file(MODELS, "normed.py")


@pytest.mark.parametrize(
    ("name", "contract", "norm"),
    [
        ("QwenAttention", QWEN, QkNorm("rms", 1e-5)),  # the configuration's
        ("Inline", {"qk_norm": "l2"}, QkNorm("l2", 1e-5)),  # of l2 it is the least length, which no query has
        ("InlineRms", {"qk_norm": "rms"}, QkNorm("rms", 1e-5)),
        ("Layer", {"qk_norm": "layer"}, QkNorm("layer", 1e-3)),
        ("Together", {"qk_norm": {"over": "all"}}, QkNorm("rms", "dtype", "all")),
    ],
)
def test_it_is_exactly_what_is_declared(file: Path, name: str, contract: dict, norm: QkNorm) -> None:
    subject = understand(Request("a", f"{file}:{name}", contract=contract))
    assert Fit().without_mask(subject)
    found = subject.contract.formula.qk_norm
    assert (found.kind, found.over) == (norm.kind, norm.over)
    assert name == "Inline" or found.eps == norm.eps


def test_three_lines_are_enough(file: Path) -> None:
    """A right module holds in everything, and wrong ones are violated, under the same lines."""
    requests = [
        Request(name, f"{file}:{name}", contract=QWEN) for name in ("QwenAttention", "GainOfQueriesTwice", "NeverNormed")
    ]
    results = run(Options(tuple(requests), keyword="oracle or qk_norm or gradients_of or rotary or groups"))
    assert [r.verdict for r in results] == ["holds", "violated", "violated"]


def test_a_bug_is_named_under_any_formula_that_normalises(file: Path) -> None:
    subject = understand(Request("a", f"{file}:GainOfQueriesTwice", contract=QWEN))
    assert [match.name for match in compare(finely(subject)).matches] == ["GainOfTheQueryForBoth"]


@pytest.mark.parametrize(
    ("name", "contract", "declared"),
    [
        ("QwenAttention", {"rotary": "half", "kv_heads": "grouped"}, {"qk_norm": "rms"}),
        ("Inline", {}, {"qk_norm": "l2"}),
        ("InlineRms", {}, {"qk_norm": {"eps": 1e-5}}),
        ("Layer", {}, {"qk_norm": "layer"}),
        ("Together", {}, {"qk_norm": {"over": "all"}}),
    ],
)
def test_undeclared_it_is_a_question_with_the_line(file: Path, name: str, contract: dict, declared: dict) -> None:
    with pytest.raises(Question) as asked:
        understand(Request("a", f"{file}:{name}", contract=contract))
    assert asked.value.declaration == declared


def test_a_bug_is_explained_by_no_normalisation(file: Path) -> None:
    """It is asked about its norms by their names, and is no more right under them."""
    with pytest.raises(Question, match=r"q_layernorm.weight.*seem to be normalised"):
        understand(Request("a", f"{file}:ValuesTurned"))
    assert not Fit().without_mask(understand(Request("a", f"{file}:ValuesTurned", contract={"qk_norm": "layer"})))


def test_gains_and_shifts_are_read(file: Path) -> None:
    subject = understand(Request("a", f"{file}:Layer", contract={"qk_norm": "layer"}))
    views = dict(subject.bind(subject.adapter.build(3, 6), Sizes(3, 2)).views())
    assert {name: views[name].shape for name in views if "norm" in name} == dict.fromkeys(
        ("query_norm.weight", "query_norm.bias", "key_norm.weight", "key_norm.bias"), (2,)
    )
    said = dict(subject.notes)
    assert "gains of queries and keys from q_layernorm.weight" in said["parameters"]
    assert "0.001, from q_layernorm.eps" in said["epsilon"]


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("q_norm", "query"), ("norm_k", "key"), ("query_layernorm", "query"), ("kNorm", "key"), ("ln_q", "query"),
        ("k_rms_norm", "key"), ("qnorm", "query"), ("norm", ""), ("qk_norm", ""), ("q_proj", ""), ("key_gain", "key"),
    ],
)  # fmt: skip
def test_names_of_norms(name: str, role: str) -> None:
    assert role_of_norm(name) == role
