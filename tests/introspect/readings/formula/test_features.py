"""A right module with one feature of its own is a question with the declaration under which it holds; a wrong one is not."""

from pathlib import Path

import pytest

from mhsa.introspect.questions import load_under
from mhsa.introspect.readings.fit import fits
from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.subject import Subject
from tests.helpers.model_file import model_file

MODEL = """
import torch
from torch import nn


class Base(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        self.h = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x, mask=None):
        q, k, v = (f(x).unflatten(-1, (self.h, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        s = self.scores(q @ k.mT / q.size(-1) ** 0.5)
        if mask is not None:
            s = s.masked_fill(~mask[:, None], torch.finfo(s.dtype).min)
        return self.o((self.weights(s) @ v).transpose(1, 2).flatten(2))

    def scores(self, s):
        return s

    def weights(self, s):
        return s.softmax(-1)


class Geometric(Base):
    def slopes(self):
        return [2 ** (-8 * (h + 1) / self.h) for h in range(self.h)]

    def scores(self, s):
        i = torch.arange(s.size(-1))
        return s - torch.tensor(self.slopes()).to(s)[:, None, None] * (i[:, None] - i).abs()


class Paper(Geometric):
    def slopes(self):
        below = 2 ** (self.h.bit_length() - 1)
        more = [2 ** (-4 * (h + 1) / below) for h in range(0, 2 * (self.h - below), 2)]
        return [2 ** (-8 * (h + 1) / below) for h in range(below)] + more


class AnyNumber(Geometric):
    '''ALiBi of Press et al. for any number of heads.'''


class PowersOfTwo(Geometric):
    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        assert num_heads & (num_heads - 1) == 0


class FromZero(Geometric):
    def slopes(self):
        return [2 ** (-8 * h / self.h) for h in range(self.h)]


class CausalByPlace(Geometric):
    def scores(self, s):  # as BLOOM: of the key's place alone, which differs by what is the same for a row
        j = torch.arange(s.size(-1)).to(s)
        s = s + torch.tensor(self.slopes()).to(s)[:, None, None] * j
        return s.masked_fill(torch.ones(s.shape[-2:], dtype=torch.bool).triu(1), float("-inf"))


class OffByOne(Base):
    def weights(self, s):
        top = s.amax(-1, keepdim=True).clamp(min=0)
        e = (s - top).exp()
        return e / ((-top).exp() + e.sum(-1, keepdim=True))


class Capped(Base):
    cap = 30.0

    def scores(self, s):
        return 30.0 * torch.tanh(s / 30.0)


class CapUnknown(Base):
    def scores(self, s):
        return self.h * torch.tanh(s / self.h)


class Bent(Base):
    def scores(self, s):
        return 30.0 * torch.tanh(s / 30.0)


class ByWidth(Base):
    def scores(self, s):
        return s / (self.q.weight.size(0) // self.h) ** 0.5


class Sinks(Base):
    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.sinks = nn.Parameter(torch.zeros(num_heads))

    def weights(self, s):
        sink = self.sinks[:, None, None].expand(*s.shape[:3], 1)
        return torch.cat([s, sink], -1).softmax(-1)[..., :-1]


class CausalSinks(Sinks):
    def scores(self, s):
        return s.masked_fill(torch.ones(s.shape[-2:], dtype=torch.bool).triu(1), float("-inf"))


class OtherSinks(Sinks):
    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.attn_sink = nn.Parameter(torch.zeros(1, num_heads, 1, 1))
        del self.sinks

    def weights(self, s):
        return torch.cat([s, self.attn_sink.expand(*s.shape[:3], 1)], -1).softmax(-1)[..., :-1]
"""
file = model_file(MODEL, "featured_model.py")


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("Geometric", {"bias": "alibi-geometric"}),
        ("Paper", {"bias": "alibi"}),
        ("AnyNumber", {"bias": "alibi"}),
        ("PowersOfTwo", {"bias": "alibi"}),
        ("CausalByPlace", {"causal": "top-left", "bias": "alibi-geometric"}),
        ("OffByOne", {"sinks": 0.0}),
        ("Capped", {"softcap": 30.0}),
        ("Sinks", {"sinks": "learned"}),
        ("OtherSinks", {"sinks": "learned"}),
        ("CausalSinks", {"sinks": "learned", "causal": "top-left"}),
    ],
)
def test_a_feature_is_asked_about(file: Path, name: str, declared: dict) -> None:
    loaded = load_under(Request("a", f"{file}:{name}"))
    assert loaded.question is not None
    assert loaded.question.declaration == declared
    assert isinstance(loaded.subject, Subject)
    subject = understand(Request("a", f"{file}:{name}", contract=declared))
    assert any(topic == "formula" for topic, _ in subject.notes)


@pytest.mark.parametrize("name", ["Base", "FromZero", "CapUnknown", "ByWidth", "Bent"])
def test_what_fits_nothing_is_not_asked_about(file: Path, name: str) -> None:
    """No reading explains wrong slopes, a root that is missing, or a cap that stands nowhere: it is judged, and violated."""
    assert load_under(Request("a", f"{file}:{name}")).question is None


def test_sinks_are_found_by_name_and_declared_ones_must_be_there(file: Path) -> None:
    subject = understand(Request("a", f"{file}:OtherSinks", contract={"sinks": "learned"}))
    module = subject.adapter.build(3, 6)
    views = dict(subject.bind(module, Sizes(3, 2)).views())
    assert views["sinks"].shape == (3,)
    assert any("sinks from attn_sink" in text for _, text in subject.notes)
    with pytest.raises(Question, match='sinks = "learned" is declared, but applies to nothing'):
        understand(Request("a", f"{file}:Base", contract={"sinks": "learned"}))


def test_who_declares_that_nothing_is_causal_is_asked_nothing(file: Path) -> None:
    assert load_under(Request("a", f"{file}:Geometric", contract={"causal": "no"})).question is None


ALIGNED = '''
import torch
from torch import nn


class Decoder(nn.Module):
    """Causal attention, aligned at the bottom right: the last query sees every key."""

    def __init__(self, dim, num_heads):
        super().__init__()
        self.h = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, query, key, value):
        maps = ((self.q, query), (self.k, key), (self.v, value))
        q, k, v = (f(x).unflatten(-1, (self.h, -1)).transpose(1, 2) for f, x in maps)
        s = q @ k.mT / q.size(-1) ** 0.5
        s = s.masked_fill(~torch.ones(s.shape[-2:], dtype=torch.bool).tril(DIAGONAL), float("-inf"))
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))
'''


@pytest.mark.parametrize(("diagonal", "right"), [("s.size(-1) - s.size(-2)", True), ("0", False)])
def test_causality_is_declared_as_the_docstring_aligns_it(tmp_path: Path, diagonal: str, right: bool) -> None:
    (tmp_path / "decoder.py").write_text(ALIGNED.replace("DIAGONAL", diagonal))
    loaded = load_under(Request("a", f"{tmp_path / 'decoder.py'}:Decoder"))
    assert loaded.question is not None
    assert loaded.question.declaration == {"causal": "bottom-right"}
    assert isinstance(loaded.subject, Subject)
    assert fits(loaded.subject) == right
