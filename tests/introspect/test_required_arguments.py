"""Arguments that a call cannot do without, though they mean nothing to plain attention, or are its usual scale."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.readings.fit import fits
from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.case import BIASES
from mhsa.records.errors import Question
from mhsa.subject.adapters.module_adapter import ModuleAdapter


def multiplied(q: Tensor, k: Tensor, v: Tensor, sm_scale: float) -> Tensor:
    return (q @ k.mT * sm_scale).softmax(-1) @ v


def divided(q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None = None) -> Tensor:
    scores = torch.div(q @ k.mT, scale)
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    return scores.softmax(-1) @ v


def with_a_bias(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    scores = q @ k.mT * q.size(-1) ** -0.5
    return (scores if bias is None else scores + bias).softmax(-1) @ v


def with_a_bias_of_values(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    scores = (q @ k.mT if bias is None else q @ k.mT + bias) * q.size(-1) ** -0.5
    return scores.softmax(-1) @ v


def needs_a_bias(q: Tensor, k: Tensor, v: Tensor, attn_bias: Tensor) -> Tensor:
    return (q @ k.mT * q.size(-1) ** -0.5 + attn_bias).softmax(-1) @ v


def scaled_twice(q: Tensor, k: Tensor, v: Tensor, sm_scale: float) -> Tensor:
    return (q @ k.mT * sm_scale * sm_scale).softmax(-1) @ v


@pytest.mark.parametrize("name", ["multiplied", "divided", "with_a_bias"])
def test_a_function_is_given_the_usual_scale_and_none(name: str) -> None:
    subject = understand(f"{__file__}:{name}")
    assert fits(subject)
    assert set(subject.biases) == ({*BIASES} - {"none"} if name == "with_a_bias" else set())


def test_a_scale_that_is_used_twice_is_not_explained_away() -> None:
    assert not fits(understand(f"{__file__}:scaled_twice"))


def test_a_bias_that_may_be_none_is_judged_where_it_is_declared() -> None:
    how: dict[str, Any] = {"contract": {"bias": "given"}, "dtypes": "float64", "properties": "oracle.output_without_mask"}
    assert verify(f"{__file__}:with_a_bias", **how)
    assert not verify(f"{__file__}:with_a_bias_of_values", **how)


def test_a_bias_that_a_function_needs_is_a_question() -> None:
    with pytest.raises(Question, match="needs attn_bias") as raised:
        understand(f"{__file__}:needs_a_bias")
    assert raised.value.declaration == {"bias": "given"}
    assert fits(understand_with(f"{__file__}:needs_a_bias", bias="given"))


def understand_with(spec: str, **contract: Any) -> Any:
    from mhsa.records.request import Request

    return understand(Request.of(spec, contract=contract))


class Places(nn.Module):
    """Places are needed by what is switched off: one unknown argument, or two."""

    def __init__(self, num_heads: int, d_model: int, rope: Any = None) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads, self.rope = num_heads, rope
        self.qkv, self.proj = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, xpos: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        if self.rope is not None:
            q, k = self.rope(q, xpos), self.rope(k, xpos)
        out: Tensor = self.proj(self.attend(q, k, v).transpose(1, 2).flatten(2))
        return out

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(q, k, v)


class TwoPlaces(Places):
    def forward(self, x: Tensor, xpos: Tensor, grid: Tensor) -> Tensor:
        return super().forward(x, xpos)


class Unscaled(Places):
    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.mT).softmax(-1) @ v


class IgnoresItsMemory(Places):
    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return super().forward(x, memory)


@pytest.mark.parametrize(("name", "unknown"), [("Places", ("xpos",)), ("TwoPlaces", ("xpos", "grid"))])
def test_an_unknown_argument_that_changes_nothing_is_none_and_named(name: str, unknown: tuple[str, ...]) -> None:
    subject = understand(f"{__file__}:{name}")
    assert subject.adapter.inputs == "x"
    assert fits(subject)
    assert {f"argument {n}" for n in unknown} <= set(subject.not_judged)


def test_what_is_wrong_is_a_question_still() -> None:
    with pytest.raises(Question, match="mhsa does not know what to give"):
        understand(f"{__file__}:Unscaled")


def test_what_is_called_another_sequence_and_changes_nothing_is_judged_as_one() -> None:
    subject = understand(f"{__file__}:IgnoresItsMemory")
    assert (subject.adapter.inputs, fits(subject)) == ("q,kv", False)


class ScalesIfSo(Places):
    """A switch that must be given: right where it is on."""

    def forward(self, x: Tensor, scaled: bool) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        scores = q @ k.mT * (q.size(-1) ** -0.5 if scaled else 1.0)
        out: Tensor = self.proj((self.weights(scores) @ v).transpose(1, 2).flatten(2))
        return out

    def weights(self, scores: Tensor) -> Tensor:
        return scores.softmax(-1)


class Unannotated(Places):
    def forward(self, query: Tensor, key: Tensor, value: Tensor, scaled) -> Tensor:  # type: ignore[no-untyped-def, override]
        maps = self.qkv.weight.chunk(3), self.qkv.bias.chunk(3)
        projected = (nn.functional.linear(x, w, b) for x, w, b in zip((query, key, value), *maps, strict=True))
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in projected)
        scale = q.size(-1) ** -0.5 if scaled else 1.0
        out: Tensor = self.proj(((q @ k.mT * scale).softmax(-1) @ v).transpose(1, 2).flatten(2))
        return out


class SharesItsSoftmax(ScalesIfSo):
    def weights(self, scores: Tensor) -> Tensor:
        return scores.softmax(1)


@pytest.mark.parametrize("name", ["ScalesIfSo", "Unannotated"])
def test_a_switch_that_must_be_given_is_on_where_that_is_exact(name: str) -> None:
    subject = understand(f"{__file__}:{name}")
    assert fits(subject)
    assert isinstance(subject.adapter, ModuleAdapter)
    assert subject.adapter.signature.more["scaled"].words == "True"
    assert "argument scaled" in subject.not_judged


def test_a_switch_explains_no_bug_away() -> None:
    assert not fits(understand(f"{__file__}:SharesItsSoftmax"))
