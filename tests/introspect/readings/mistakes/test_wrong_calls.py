"""Calls that no property makes: of an option with masks, without a value, with a square mask, with noise."""

from pathlib import Path

import pytest

from mhsa.introspect.questions import load_under
from mhsa.records.request import Request

MODULE = """
import torch
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, heads, causal=False, jitter=0.0):
        super().__init__()
        self.heads, self.causal, self.jitter = heads, causal, jitter
        self.w_q, self.w_k, self.w_v, self.w_o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value=None, mask=None):
        value = key if value is None else value
        q, k, v = (
            w(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for w, x in ((self.w_q, query), (self.w_k, key), (self.w_v, value))
        )
        s = q @ k.mT / q.shape[-1] ** 0.5
        if self.training and self.jitter > 0:
            s = s + self.jitter * torch.randn_like(s)
        if self.causal:
            s = s.masked_fill(torch.ones(s.shape[-2:], dtype=torch.bool).triu(1), -1e30)
        if mask is not None:
            mask = mask[:, None]
            s = s.masked_fill(~mask, -1e30)
        return self.w_o((s.softmax(-1) @ v).transpose(1, 2).flatten(-2))
"""


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "model.py"
    path.write_text(text)
    return str(path)


def wrong_call(tmp_path: Path, text: str) -> str:
    subject = load_under(Request.of(written(tmp_path, text))).subject
    return subject.wrong_call  # type: ignore[union-attr]


def test_a_right_module_has_none(tmp_path: Path) -> None:
    assert not wrong_call(tmp_path, MODULE)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("        if mask is not None:", "        elif mask is not None:", "causal=True"),
        ("value = key if", "value = query if", "without value, where key is given"),
        ("self.training and self.jitter", "self.jitter", "two calls in eval mode differ"),
        ("mask[:, None]", "mask.mT[:, None] if mask.shape[1] == mask.shape[2] else mask[:, None]", "with both exchanged"),
    ],
    ids=["masks with a switch", "the value left out", "noise", "transposed"],
)  # fmt: skip
def test_a_wrong_call_is_named(tmp_path: Path, before: str, after: str, words: str) -> None:
    assert before in MODULE
    assert words in wrong_call(tmp_path, MODULE.replace(before, after))
