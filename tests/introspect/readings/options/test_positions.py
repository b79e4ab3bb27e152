"""Positions that a call may be given: they are added to queries and keys, and not to values."""

from pathlib import Path

import pytest

from mhsa.introspect.questions import load_under
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject.subject import Subject

CROSS = """
import torch
from torch import nn


class Reader(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.w_q, self.w_k, self.w_v, self.w_o = (nn.Linear(width, width) for _ in range(4))

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    @staticmethod
    def placed(x, where):
        return x if where is None else x + where

    def forward(self, query, memory, mask=None, pos=None, query_pos=None):
        placed = self.placed
        q, k, v = self.w_q(QUERY), self.w_k(KEY), self.w_v(VALUE)
        s = self.split(q) @ self.split(k).mT / (q.shape[-1] / self.heads) ** 0.5
        if mask is not None:
            s = s.masked_fill(~mask[:, None], -1e30)
        return self.w_o((s.softmax(-1) @ self.split(v)).transpose(1, 2).flatten(-2))
"""

LAYER = """
from torch import nn


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, src, pos=None):
        BODY
        return self.norm(src + self.attention(q, k, value=v)[0])
"""

SELF = """
from torch import nn


class Looker(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.w_q, self.w_k, self.w_v, self.w_o = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x, pos=None):
        BODY
        mapped = self.w_q(q), self.w_k(k), self.w_v(v)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in mapped)
        s = q @ k.mT / q.shape[-1] ** 0.5
        return self.w_o((s.softmax(-1) @ v).transpose(1, 2).flatten(-2))
"""


def loaded(folder: Path, text: str, **contract: str) -> Subject:
    path = (
        folder / f"model{len(list(folder.iterdir()))}.py"
    )  # a file of each, as Python keeps the source of one that it has read
    path.write_text(text)
    subject = load_under(Request.of(str(path), contract=contract)).subject
    assert isinstance(subject, Subject), subject
    return subject


def cross(query: str = "placed(query, query_pos)", key: str = "placed(memory, pos)", value: str = "memory") -> str:
    return CROSS.replace("QUERY", query).replace("KEY", key).replace("VALUE", value)


def unread(subject: Subject) -> set[str]:
    return {words.split()[1] for words in subject.not_judged if words.startswith("argument ") and "pos" in words.split()[1]}


def test_positions_of_queries_and_of_keys_are_judged(tmp_path: Path) -> None:
    subject = loaded(tmp_path, cross())
    assert (subject.wrong_call, unread(subject)) == ("", set())
    assert "pos: positions [B, T, D], added to keys" in dict(subject.notes)["call"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (cross(value="placed(memory, pos)"), "pos is added to keys and values; it must be added to keys alone"),
        (cross(key="memory if pos is None else memory - pos"), "pos is subtracted from keys"),
        (cross("placed(query, pos)", "placed(memory, query_pos)"), "pos is added to queries; it must be added to keys"),
        (cross(value="memory if mask is None else placed(memory, pos)"), "with pos and query_pos and a mask"),
    ],
    ids=["values", "subtracted", "exchanged", "values under a mask"],
)  # fmt: skip
def test_wrong_positions_are_a_mistake(tmp_path: Path, text: str, words: str) -> None:
    assert words in loaded(tmp_path, text).wrong_call
    path = str(tmp_path / "model0.py")
    assert verify(path, dtypes="float64", properties="oracle.output_without_mask").verdict == "violated"


RIGHT = "q = k = src if pos is None else src + pos; v = src"


def test_positions_within_a_layer_are_judged(tmp_path: Path) -> None:
    right = loaded(tmp_path, LAYER.replace("BODY", RIGHT), layout="TBD")
    assert (right.wrong_call, unread(right)) == ("", set())
    wrong = loaded(tmp_path, LAYER.replace("BODY", RIGHT.replace("v = src", "v = q")), layout="TBD")
    assert "pos is added to queries, keys and values" in wrong.wrong_call


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("v = x; q = k = x if pos is None else x + pos", ""),
        ("v = x; q = x if pos is None else x + pos; k = x", "pos is added to queries"),
        ("v = x; q = x if pos is None else x + pos; k = x if pos is None else x - pos", "subtracted from keys"),
    ],
    ids=["right", "queries alone", "one subtracted"],
)
def test_positions_of_self_attention_are_those_of_queries_and_keys(tmp_path: Path, body: str, words: str) -> None:
    subject = loaded(tmp_path, SELF.replace("BODY", body))
    assert unread(subject) == set()
    assert words in subject.wrong_call
    assert bool(words) == bool(subject.wrong_call)


@pytest.mark.parametrize(
    "body",
    [
        "x = x if pos is None else x + pos; q = k = v = x",
        "h = x if pos is None else x + pos; q = k = v = h",
        "q = k = v = x",
        "v = x; q = k = x if pos is None else x * pos",
        "v = x; q = k = x if pos is None else x + self.w_q(pos)",
        "v = x; q = k = x if pos is None else x + self.w_q.weight[:, pos.long()]",
    ],
    ids=["a whole sequence", "likewise, of another name", "not read", "factors", "projected", "indices"],
)
def test_what_may_be_meant_so_is_not_judged(tmp_path: Path, body: str) -> None:
    subject = loaded(tmp_path, SELF.replace("BODY", body))
    assert (subject.wrong_call, unread(subject)) == ("", {"pos"})


def test_one_row_of_positions_for_all_samples_is_judged(tmp_path: Path) -> None:
    body = "assert pos is None or len(pos) == 1; v = x; q = k = x if pos is None else x + pos"
    subject = loaded(tmp_path, SELF.replace("BODY", body))
    assert not unread(subject)
    assert "positions [1, T, D]" in dict(subject.notes)["call"]
    wrong = loaded(tmp_path, SELF.replace("BODY", body.replace("v = x", "v = x if pos is None else x + pos")))
    assert "pos is added to queries, keys and values" in wrong.wrong_call


def test_keys_without_positions_of_their_own_may_have_those_of_queries(tmp_path: Path) -> None:
    key = "placed(memory, query_pos if pos is None and query_pos is not None and query.shape == memory.shape else pos)"
    subject = loaded(tmp_path, cross(key=key))
    assert (subject.wrong_call, unread(subject)) == ("", set())


def test_positions_that_are_accepted_are_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(cross(value="placed(memory, pos)"))
    request = Request.of(str(path), not_judged=("argument pos", "argument query_pos"))
    subject = load_under(request).subject
    assert isinstance(subject, Subject)
    assert not subject.wrong_call


def test_positions_that_are_dropped_next_to_others_are_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(cross(query="query"))
    found = load_under(Request.of(str(path))).subject
    assert isinstance(found, Question)
    assert "argument query_pos is of positions by its name, and changes nothing" in str(found)
    accepted = load_under(Request.of(str(path), not_judged=("argument query_pos",))).subject
    assert isinstance(accepted, Subject)
    assert unread(accepted) == {"query_pos"}


def test_positions_with_the_name_of_a_sequence_are_its_own(tmp_path: Path) -> None:
    of_both = "x, context, mask=None, x_pos=None, context_pos=None"
    named = CROSS.replace("query, memory, mask=None, pos=None, query_pos=None", of_both).replace("VALUE", "context")
    right = named.replace("QUERY", "placed(x, x_pos)").replace("KEY", "placed(context, context_pos)")
    assert not unread(loaded(tmp_path, right))
    wrong = named.replace("QUERY", "placed(x, context_pos)").replace("KEY", "placed(context, x_pos)")
    assert "x_pos is added to keys" in loaded(tmp_path, wrong).wrong_call


def test_values_of_their_own_have_no_positions_of_keys(tmp_path: Path) -> None:
    own = CROSS.replace("query, memory,", "query, key, value,").replace(
        "pos=None, query_pos=None", "query_pos=None, key_pos=None"
    )
    own = own.replace("QUERY", "placed(query, query_pos)").replace("KEY", "placed(key, key_pos)")
    assert not unread(loaded(tmp_path, own.replace("VALUE", "value")))
    wrong = loaded(tmp_path, own.replace("VALUE", "placed(value, key_pos)"))
    assert "key_pos is added to keys and values" in wrong.wrong_call


OPTIONAL = """
from torch import nn


class Reader(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.w_q, self.w_k, self.w_v, self.w_o = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x, context=None, pos=None, context_pos=None):
        q = x if pos is None else x + pos
        if context is None:
            k, v = q, ITSELF
        else:
            k, v = context if context_pos is None else context + context_pos, context
        mapped = self.w_q(q), self.w_k(k), self.w_v(v)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in mapped)
        s = q @ k.mT / q.shape[-1] ** 0.5
        return self.w_o((s.softmax(-1) @ v).transpose(1, 2).flatten(-2))
"""


def test_positions_are_judged_where_the_key_is_left_out_too(tmp_path: Path) -> None:
    right = loaded(tmp_path, OPTIONAL.replace("ITSELF", "x"))
    assert (right.wrong_call, unread(right)) == ("", set())
    assert "without context, pos: positions [B, T, D], added to queries and keys" in dict(right.notes)["call"]
    wrong = loaded(tmp_path, OPTIONAL.replace("ITSELF", "q"))
    assert (
        "without context, with pos it is exactly attention where pos is added to queries, keys and values" in wrong.wrong_call
    )


TWO = """
from torch import nn


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.own, self.other = (nn.MultiheadAttention(width, heads, batch_first=True) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    @staticmethod
    def at(x, where):
        return x if where is None else x + where

    def forward(self, tgt, memory, pos=None, query_pos=None):
        q = k = self.at(tgt, query_pos)
        tgt = self.norms[0](tgt + self.own(q, k, OWN)[0])
        return self.norms[1](tgt + self.other(self.at(tgt, query_pos), self.at(memory, pos), OTHER)[0])
"""


@pytest.mark.parametrize(
    ("attention", "own", "other", "left", "words"),
    [
        ("own", "tgt", "memory", {"pos"}, ""),
        ("other", "tgt", "memory", set(), ""),
        ("own", "q", "memory", set(), "query_pos is added to queries, keys and values"),
        ("other", "tgt", "self.at(memory, pos)", set(), "pos is added to keys and values"),
    ],
)
def test_positions_of_one_attention_of_a_layer_are_judged(
    tmp_path: Path, attention: str, own: str, other: str, left: set[str], words: str
) -> None:
    subject = loaded(tmp_path, TWO.replace("OWN", own).replace("OTHER", other), attention=attention)
    assert unread(subject) == left
    assert words in subject.wrong_call
    assert bool(words) == bool(subject.wrong_call)
