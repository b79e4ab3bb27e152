"""Blocks that add the queries to the heads before any out projection: the heads are judged, and the rest is named."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import SubjectError

FEW = ("oracle.output_without_mask", "oracle.returned_weights")


class SetBlock(nn.Module):
    """Heads are put behind the samples; the projected queries are added before they are merged."""

    normed = False
    axis = -1

    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.to_q, self.to_k, self.to_v, self.fc = (nn.Linear(d_model, d_model) for _ in range(4))
        self.first, self.second = (nn.LayerNorm(d_model) if self.normed else nn.Identity() for _ in range(2))

    def split(self, x: Tensor) -> Tensor:
        return torch.cat(x.chunk(self.num_heads, dim=-1))

    def merge(self, x: Tensor) -> Tensor:
        return torch.cat(x.chunk(self.num_heads), dim=-1)

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        q, k, v = self.split(self.to_q(query)), self.split(self.to_k(key)), self.split(self.to_v(key))
        weights = (q @ k.mT / q.size(-1) ** 0.5).softmax(self.axis)
        s: Tensor = self.first(self.merge(q + weights @ v))
        out: Tensor = self.second(s + torch.relu(self.fc(s)))
        return out


class NormedSetBlock(SetBlock):
    normed = True


class OverQueries(SetBlock):
    axis = -2


class WrongMerge(SetBlock):
    def merge(self, x: Tensor) -> Tensor:
        return x.unflatten(0, (-1, self.num_heads)).transpose(1, 2).flatten(2)


class WithoutOut(nn.Module):
    """The queries as they are given are added to the merged heads; scores are returned before the weights."""

    scaled = True

    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.w_q, self.w_k, self.w_v = (nn.Parameter(torch.zeros(d_model, d_model)) for _ in range(3))
        self.norm = nn.LayerNorm(d_model)
        self.mlp = nn.Sequential(nn.Linear(d_model, 3 * d_model), nn.GELU(), nn.Linear(3 * d_model, d_model))

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Any:
        maps = ((query, self.w_q), (key, self.w_k), (value, self.w_v))
        q, k, v = ((x @ w).unflatten(-1, (self.num_heads, -1)) for x, w in maps)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * (q.size(-1) ** -0.5 if self.scaled else 1.0)
        weights = scores.softmax(-1)
        x = query + torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(2)
        x = self.norm(x)
        return x + self.mlp(x), scores, weights


class Unscaled(WithoutOut):
    scaled = False


class NormBeforeOut(SetBlock):
    """One map comes after the norm, and nothing around it: the residual may be in the wrong place."""

    normed = True

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        q, k, v = self.split(self.to_q(query)), self.split(self.to_k(key)), self.split(self.to_v(key))
        s = self.first(query + self.merge((q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v))
        out: Tensor = self.fc(s)
        return out


class SumBeforeOut(NormBeforeOut):
    normed = False


class OneQuery(nn.Module):
    """Takes one query for each sample and a mask that must be given; a norm, a residual and a feed-forward come after it."""

    masked = True

    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(d_model, d_model) for _ in range(4))
        self.norm = nn.LayerNorm(d_model)
        self.ffn = nn.Sequential(nn.Linear(d_model, 2 * d_model), nn.ReLU(), nn.Linear(2 * d_model, d_model))

    def forward(self, query: Tensor, tokens: Tensor, mask: Tensor) -> Any:
        size = (query.size(0), 1, self.num_heads, -1)
        q = self.wq(query).view(size).transpose(1, 2)
        k, v = (f(tokens).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.wk, self.wv))
        scores = q @ k.mT / q.size(-1) ** 0.5
        if self.masked:
            hidden = ~mask[:, None, None].expand(-1, self.num_heads, 1, -1)
            weights = scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(-1)
        else:
            weights = scores.softmax(-1) * mask[:, None, None]
        x = self.norm(query + self.wo((weights @ v).transpose(1, 2).reshape(query.shape)))
        return x + self.ffn(x), scores, weights


class MaskAfterSoftmax(OneQuery):
    masked = False


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("SetBlock", True), ("NormedSetBlock", True), ("WithoutOut", True),
        ("OverQueries", False), ("WrongMerge", False), ("Unscaled", False), ("SumBeforeOut", False),
    ],
)  # fmt: skip
def test_heads_are_judged_without_what_is_added_to_them(name: str, holds: bool) -> None:
    found = verify(f"{__file__}:{name}", dtypes="float64", properties=FEW)
    assert bool(found) is holds, str(found)


@pytest.mark.parametrize(
    ("name", "named"),
    [("SetBlock", "the residual of the projected queries"), ("WithoutOut", "the residual of the queries")],
)
def test_what_is_left_out_is_named(name: str, named: str) -> None:
    subject = understand(f"{__file__}:{name}")
    assert {named, "what comes after it"} <= set(subject.not_judged)
    parameters = next(part.text for part in subject.understood if part.part == "parameters")
    assert "no out projection" in parameters


def test_scores_that_are_returned_before_the_weights_are_named() -> None:
    assert "scores returned: shape [B, H, Tq, Tk]" in understand(f"{__file__}:WithoutOut").not_judged


def test_one_map_after_the_norm_is_no_such_block() -> None:
    with pytest.raises(SubjectError, match=r"first\.weight .* is not part of plain"):
        understand(f"{__file__}:NormBeforeOut")


def test_one_query_is_read_with_a_mask_that_must_be_given_and_a_bug_in_the_mask_stays() -> None:
    subject = understand(f"{__file__}:OneQuery")
    assert subject.contract.mask_shape == "[B, Tk]"
    assert {"2 of 3 values returned", "block around the attention"} <= set(subject.not_judged)
    with_mask = ("oracle.output_under_masks",)
    assert verify(f"{__file__}:OneQuery", dtypes="float64", properties=with_mask)
    assert not verify(f"{__file__}:MaskAfterSoftmax", dtypes="float64", properties=with_mask)


def test_threads_do_not_disturb_each_other() -> None:
    subject = understand(f"{__file__}:NormedSetBlock")
    module = subject.adapter.build(2, 8).double()
    inputs = [torch.randn(2, 3, 8, dtype=torch.float64) for _ in range(8)]
    alone = [subject.caller(module, x, x, x, None)[0] for x in inputs]
    together: list[Any] = [None] * 8

    def work(n: int) -> None:
        for _ in range(20):
            together[n] = subject.caller(module, inputs[n], inputs[n], inputs[n], None)[0]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
