"""What a reading pins without being asked: neighbouring features of a head, and attention to later keys."""

from pathlib import Path
from typing import Any

import pytest

from mhsa.introspect.questions import load_under
from mhsa.introspect.readings.fit import fits
from mhsa.records.request import Request
from mhsa.records.understood import pinned
from mhsa.subject.subject import Subject

SOURCE = """
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, dim, num_heads, ARGUMENT):
        super().__init__()
        assert dim % num_heads == 0
        self.num_heads, self.switch = num_heads, SWITCH
        self.q, self.k, self.v, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def split(self, x):
        b, t, _ = x.shape
        return SPLIT

    def forward(self, QUERY, KEY, mask=None):
        q, k, v = self.split(self.q(QUERY)), self.split(self.k(KEY)), self.split(self.v(KEY))
        scores = q @ k.mT / q.size(-1) ** 0.5
        if CAUSAL:
            scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), float("-inf"))
        if mask is not None:
            scores = scores.masked_fill(mask == 0, -1e9)
        return self.out(MERGE)


def core(query, key, value):
    scores = query @ key.mT / query.size(-1) ** 0.5
    if CAUSAL:
        scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), float("-inf"))
    return scores.softmax(-1) @ value


class Alone(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(dim, dim) for _ in range(3))

    def forward(self, x):
        scores = self.q(x) @ self.k(x).mT / x.size(-1) ** 0.5
        return scores.softmax(-1) @ self.v(x)
"""
NEIGHBOURS = {
    "SPLIT": "x.view(b, t, self.num_heads, -1).transpose(1, 2)",
    "MERGE": "(scores.softmax(-1) @ v).transpose(1, 2).flatten(2)",
}
INTERLEAVED = {
    "SPLIT": "x.view(b, t, -1, self.num_heads).permute(0, 3, 1, 2)",
    "MERGE": "(scores.softmax(-1) @ v).permute(0, 2, 3, 1).flatten(2)",
}
CROSS = {"QUERY, KEY": "x, context", "QUERY": "x", "KEY": "context"}
SELF = {"QUERY, KEY": "x", "QUERY": "x", "KEY": "x"}
NO_SWITCH = {"ARGUMENT": "window=None", "SWITCH": "False"}


def loaded(folder: Path, name: str, words: dict[str, str], contract: dict[str, Any] | None = None) -> tuple[Subject, bool]:
    """Return the subject, under a contract, and whether nothing was asked."""
    source = SOURCE
    for word, text in {**NEIGHBOURS, **SELF, **NO_SWITCH, "CAUSAL": "self.switch", **words}.items():
        source = source.replace(word, text)
    file = folder / f"m{abs(hash(source))}.py"
    file.write_text(source)
    found = load_under(Request.of(f"{file}:{name}", dtypes=("float64",)).under(contract or {}))
    assert isinstance(found.subject, Subject)
    return found.subject, found.question is None


def pins(subject: Subject) -> dict[str, Any]:
    """Return what of these is pinned."""
    return {name: value for name, value in pinned(subject.understood).items() if name in ("heads", "causal")}


RIGHT = [
    ("Attention", {}, {"heads": "consecutive", "causal": "no"}),
    ("Attention", CROSS, {"heads": "consecutive", "causal": "no"}),
    ("Attention", {"ARGUMENT": "causal=False", "SWITCH": "causal"}, {"heads": "consecutive", "causal": "no"}),
    ("core", {"CAUSAL": "False"}, {"causal": "no"}),
    ("Alone", {}, {"causal": "no"}),  # one head, in which no order can be seen
]


@pytest.mark.parametrize(("name", "words", "expected"), RIGHT)
def test_a_right_module_is_right_under_its_own_pins(
    tmp_path: Path, name: str, words: dict[str, str], expected: dict[str, str]
) -> None:
    subject, certain = loaded(tmp_path, name, words)
    assert pins(subject) == expected
    again, certain_again = loaded(tmp_path, name, words, pinned(subject.understood))
    assert certain_again == certain
    assert fits(again)
    assert len(again.switches) == len(subject.switches)


@pytest.mark.parametrize(
    ("name", "words", "bug"),
    [
        ("Attention", {}, INTERLEAVED),
        ("Attention", CROSS, INTERLEAVED),
        ("Attention", {}, {"CAUSAL": "True"}),
        ("Attention", CROSS, {"CAUSAL": "True"}),
        ("core", {"CAUSAL": "False"}, {"CAUSAL": "True"}),
    ],
)
def test_a_later_change_is_a_violation_and_no_question(
    tmp_path: Path, name: str, words: dict[str, str], bug: dict[str, str]
) -> None:
    subject, _ = loaded(tmp_path, name, words)
    asked, certain = loaded(tmp_path, name, {**words, **bug})
    assert fits(asked)  # under what its question says
    assert not certain
    twin, certain = loaded(tmp_path, name, {**words, **bug}, pinned(subject.understood))
    assert certain
    assert not fits(twin)


def test_a_causal_or_interleaved_module_pins_what_it_is(tmp_path: Path) -> None:
    subject, _ = loaded(tmp_path, "Attention", {"CAUSAL": "True"})
    assert pins(subject) == {"heads": "consecutive"}
    subject, _ = loaded(tmp_path, "Attention", INTERLEAVED)
    assert pins(subject) == {"causal": "no"}
    windowed, _ = loaded(tmp_path, "core", {"CAUSAL": "False"}, {"window": [2, 0]})
    assert pins(windowed) == {}


def test_a_wrong_module_pins_nothing_of_it(tmp_path: Path) -> None:
    subject, _ = loaded(tmp_path, "Attention", {"** 0.5": "** 0.25"})
    assert pins(subject) == {}
