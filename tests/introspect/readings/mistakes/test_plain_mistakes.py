"""Modules with nameless parts and one plain mistake: they are judged, and not asked about."""

from pathlib import Path

import pytest

from mhsa.introspect.readings.mistakes.known_mistake import known_mistake
from mhsa.introspect.resolve import understand

MODULE = """
import torch
from torch import nn


class Blend(nn.Module):
    def __init__(self, breadth, parts):
        super().__init__()
        self.parts, self.each = parts, breadth // parts
        self.one, self.two, self.three, self.four = (nn.Linear(breadth, breadth) for _ in range(4))

    def divided(self, x):
        return x.view(*x.shape[:2], self.parts, self.each).transpose(1, 2)

    def forward(self, x):
        q, k, v = self.divided(self.one(x)), self.divided(self.two(x)), self.divided(self.three(x))
        s = q @ k.transpose(-2, -1) * self.each ** -0.5
        a = s.softmax(-1)
        z = (a @ v).transpose(1, 2).reshape(x.shape)
        return self.four(z)
"""
MISTAKES = {
    "the softmax runs over the queries": ("s.softmax(-1)", "s.softmax(-2)"),
    "the softmax runs over the heads": ("s.softmax(-1)", "s.softmax(1)"),
    "scores are not scaled": (" * self.each ** -0.5", ""),
    "scores are divided by the square root of the number of keys": ("self.each ** -0.5", "k.shape[-2] ** -0.5"),
    "heads are merged in the order samples, heads, tokens, features": ("transpose(1, 2).reshape(x.shape)", "reshape(x.shape)"),
    "the weights are applied transposed": ("a @ v", "a.mT @ v"),
    "heads are split by a view as [B, H, T, d]": (
        "x.view(*x.shape[:2], self.parts, self.each).transpose(1, 2)", "x.view(len(x), self.parts, x.shape[1], self.each)",
    ),
}  # fmt: skip


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "model.py"
    path.write_text(text)
    return str(path)


def test_the_right_module_has_no_mistake(tmp_path: Path) -> None:
    assert not known_mistake(understand(written(tmp_path, MODULE))).words


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_known_and_the_module_is_judged(tmp_path: Path, words: str) -> None:
    before, after = MISTAKES[words]
    assert before in MODULE
    subject = understand(written(tmp_path, MODULE.replace(before, after)))  # it is no question
    assert words in known_mistake(subject).words, known_mistake(subject).words
