"""Tables of rotary positions from the caller, in whatever form: the question about them has the layout that fits."""

from pathlib import Path

import pytest

from mhsa.introspect.readings.fit import fits
from mhsa.introspect.resolve import understand
from mhsa.records.request import Request
from tests.helpers.model_file import model_file
from tests.introspect.stages.asked import asked

MODELS = """
import torch
from torch import nn


def half(y, cos, sin):
    a, b = y.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


def pairs(y, cos, sin):
    a, b = y.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, b * cos + a * sin), dim=-1).flatten(-2)


class Base(nn.Module):
    def __init__(self, dim, n_heads, n_local_heads=-1):
        super().__init__()
        assert dim % n_heads == 0
        self.n_heads, self.head_dim = n_heads, dim // n_heads
        few = self.head_dim * (n_heads if n_local_heads == -1 else n_local_heads)
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(dim, n, bias=False) for n in (dim, few, few, dim))

    def attend(self, x, turn, cos, sin, mask):
        q, k, v = (f(x).unflatten(-1, (-1, self.head_dim)) for f in (self.wq, self.wk, self.wv))
        q, k, v = (y.transpose(1, 2) for y in (turn(q, cos, sin), turn(k, cos, sin), v))
        k, v = (self.repeat(y, self.n_heads // y.size(1)) for y in (k, v))
        s = q @ k.mT / self.head_dim**0.5
        if mask is not None:
            s = s.masked_fill(~mask[:, None], torch.finfo(s.dtype).min)
        return self.wo((s.softmax(-1) @ v).transpose(1, 2).flatten(2))

    def repeat(self, y, times):
        return y.repeat_interleave(times, dim=1)


class WithoutSamples(Base):
    def forward(self, x, cos, sin, mask=None):
        return self.attend(x, half, *(t[:, None, : self.head_dim // 2] for t in (cos, sin)), mask)


class BroadcastPair(Base):
    def forward(self, x, rope, mask=None):
        cos, sin = rope
        return self.attend(x, half, *(t.view(1, x.size(1), 1, self.head_dim).chunk(2, -1)[0] for t in (cos, sin)), mask)


class Stacked(Base):
    def forward(self, x, freqs_cis, mask):
        return self.attend(x, pairs, *freqs_cis.view(1, x.size(1), 1, self.head_dim // 2, 2).unbind(-1), mask)


class Tiled(Stacked):
    def repeat(self, y, times):
        return y.repeat(1, times, 1, 1)


class Complex(Base):
    def forward(self, x, freqs_cis=None, mask=None):
        assert freqs_cis.dim() == 4
        return self.attend(x, pairs, freqs_cis.real, freqs_cis.imag, mask)


class Angles(Base):
    def forward(self, x, rotary_pos_emb, mask=None):
        angles = rotary_pos_emb[:, None, : self.head_dim // 2]
        return self.attend(x, half, angles.cos(), angles.sin(), mask)


def apply_rotary(y, table):
    return pairs(y.transpose(1, 2), *(t[..., ::2] for t in (table[0], table[1]))).transpose(1, 2)


class KnownByItsUse(Base):
    def forward(self, x, encoding, mask=None):
        return self.attend(x, lambda y, cos, sin: apply_rotary(y, encoding), None, None, mask)


class MakesItsOwn(Base):
    base = 10000.0

    def forward(self, x, position_embeddings=None, mask=None):
        if position_embeddings is None:
            width = torch.arange(0, self.head_dim, 2, dtype=x.dtype) / self.head_dim
            angles = torch.arange(x.size(1), dtype=x.dtype)[:, None] / self.base**width
            position_embeddings = angles.cos()[None], angles.sin()[None]
        cos, sin = (t[:, :, None, : self.head_dim // 2] for t in position_embeddings)
        return self.attend(x, half, cos, sin, mask)


class MakesItsOwnWithAnotherBase(MakesItsOwn):
    base = 100.0


class NotRotatedAlone(Base):
    def forward(self, x, position_embeddings=None, mask=None):
        if position_embeddings is None:
            return self.attend(x, lambda y, cos, sin: y, None, None, mask)
        cos, sin = (t[:, :, None, : self.head_dim // 2] for t in position_embeddings)
        return self.attend(x, half, cos, sin, mask)


class Backwards(WithoutSamples):
    def forward(self, x, cos, sin, mask=None):
        return super().forward(x, cos, 0.99 * sin, mask)
"""
file = model_file(MODELS)
GROUPED = {"kv_heads": "grouped"}


@pytest.mark.parametrize(
    ("name", "declaration"),
    [
        ("WithoutSamples", {"rotary": "half"} | GROUPED),
        ("BroadcastPair", {"rotary": "half"} | GROUPED),
        ("Stacked", {"rotary": "interleaved"} | GROUPED),
        ("Complex", {"rotary": "interleaved"} | GROUPED),
        ("Angles", {"rotary": "half"} | GROUPED),
        ("KnownByItsUse", {"rotary": "interleaved"} | GROUPED),
    ],
)
def test_a_question_has_the_layout_and_key_heads_that_fit(file: Path, name: str, declaration: dict[str, str]) -> None:
    declared, subject = asked(f"{file}:{name}")
    assert declared == declaration
    assert fits(subject)


def test_key_heads_in_another_order_are_asked_about_too(file: Path) -> None:
    declared, subject = asked(f"{file}:Tiled")
    assert declared == {"rotary": "interleaved"} | GROUPED
    assert not fits(subject)


@pytest.mark.parametrize(("name", "layout", "kv"), [("Tiled", "interleaved", "grouped"), ("Backwards", "half", None)])
def test_a_bug_is_judged_under_the_declaration(file: Path, name: str, layout: str, kv: str | None) -> None:
    declared = {"rotary": layout} | ({"kv_heads": kv} if kv else {})
    assert not fits(understand(Request.of(f"{file}:{name}").under(declared)))


def test_the_form_of_tables_is_printed(file: Path) -> None:
    subject = understand(Request.of(f"{file}:Stacked").under({"rotary": "interleaved"}))
    assert "freqs_cis: cosines and sines [T, width / 2, 2]" in str(subject.understood)


@pytest.mark.parametrize(
    ("name", "right", "given"),
    [("MakesItsOwn", True, False), ("MakesItsOwnWithAnotherBase", False, False), ("NotRotatedAlone", True, True)],
)
def test_tables_that_may_be_left_out_are_given_where_nothing_is_rotated_without(
    file: Path, name: str, right: bool, given: bool
) -> None:
    """A module that makes its own is judged with these, and the argument is named as not judged."""
    subject = understand(Request.of(f"{file}:{name}", contract={"rotary": "half"}))
    assert fits(subject) == right
    assert ("argument position_embeddings" in subject.not_judged) != given
