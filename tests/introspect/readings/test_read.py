"""Conventions of a call are read: by what the code states, else by an exact fit with the oracle; a surprise is a question."""

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.judge.script.recorded_calls import Recorder
from mhsa.judge.script.standalone_script import write_script
from mhsa.judge.verification import verify
from mhsa.records.contract import Contract
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject import check
from mhsa.subject.generic_inputs import generic_case
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial
from tests.helpers.plain_attention import Plain
from tests.helpers.reading_parts import part

# What a mask of -inf makes of a query that may attend to no key, where it is added and nothing repairs it.
NAN = {"fully_masked_row": "nan", "reason": "https://github.com/pytorch/pytorch/issues/41508"}


class Blocked(Plain):
    def forward(self, query, key, value, mask=None):
        return self.attend(query, key, value, None if mask is None else mask[:, None])


class PaddingByName(Plain):
    def forward(self, query, key, value, key_padding_mask=None):
        return self.attend(query, key, value, None if key_padding_mask is None else key_padding_mask[:, None, None])


class PaddingNamedWrongly(Plain):
    def forward(self, query, key, value, key_padding_mask=None):
        return self.attend(query, key, value, None if key_padding_mask is None else ~key_padding_mask[:, None, None])


class BlockedByDocs(Plain):
    def forward(self, query, key, value, mask=None):
        """Attend.

        Args:
            mask: bool [B, Tq, Tk]; True marks positions
                that are ignored.
        """
        return self.attend(query, key, value, None if mask is None else mask[:, None])


class Added(Plain):
    def forward(self, query, key, value, attention_mask=None):
        return self.attend(query, key, value, None if attention_mask is None else attention_mask * 1.0)


class AddedByAnnotation(Plain):
    def forward(self, query, key, value, attention_mask: torch.FloatTensor | None = None):
        return self.attend(query, key, value, attention_mask)


class MinusOne(Plain):
    """(1 - m) * -10000, in which m is floating."""

    def forward(self, query, key, value, mask=None):
        return self.attend(query, key, value, None if mask is None else (1.0 - mask[:, None].to(query.dtype)) * -10000.0)


class Lengths(Plain):
    def forward(self, queries, keys, values, valid_lens=None):
        hide = None
        if valid_lens is not None:
            lens = valid_lens[:, None] if valid_lens.dim() == 1 else valid_lens
            hide = (torch.arange(keys.size(1)) >= lens[..., None])[:, None]
        return self.attend(queries, keys, values, hide)


class PerHead(Plain):
    def forward(self, query, key, value, mask=None):
        return self.attend(query, key, value, None if mask is None else ~mask.view(-1, self.num_heads, *mask.shape[-2:]))


class Square(Plain):
    def forward(self, query, key, value, attn_mask=None):
        assert attn_mask is None or attn_mask.dim() == 2
        return self.attend(query, key, value, None if attn_mask is None else ~attn_mask)


class SquareUnnamed(Plain):
    def forward(self, query, key, value, mask=None):
        assert mask is None or mask.dim() == 2
        return self.attend(query, key, value, None if mask is None else ~mask)


class TimeFirst(Plain):
    def forward(self, query, key, value):
        return self.attend(*(x.transpose(0, 1) for x in (query, key, value)), None).transpose(0, 1)


class TimeFirstByDocs(TimeFirst):
    def forward(self, query, key, value):
        """Attend from query to key, each (seq_len, batch, d_model)."""
        return super().forward(query, key, value)


class Pixels(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        assert dim % num_heads == 0
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Conv2d(dim, 3 * dim, 1), nn.Conv2d(dim, dim, 1)

    def forward(self, x):
        b, c, h, w = x.shape
        q, k, v = self.qkv(x).view(b, 3, self.num_heads, -1, h * w).mT.unbind(1)
        return self.proj(((q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v).mT.reshape(b, c, h, w))


class Channels(Pixels):
    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.qkv, self.proj = nn.Conv1d(dim, 3 * dim, 1), nn.Conv1d(dim, dim, 1)

    def forward(self, x):
        b, c, t = x.shape
        q, k, v = self.qkv(x).view(b, 3, self.num_heads, -1, t).mT.unbind(1)
        return self.proj(((q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v).mT.reshape(b, c, t))


class Causal(Plain):
    last = False

    def forward(self, query, key, value, mask=None):
        queries, keys = query.size(1), key.size(1)
        hide = ~torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries if self.last else 0)
        return self.attend(query, key, value, hide if mask is None else hide | ~mask[:, None])


class CausalAtTheEnd(Causal):
    last = True


def read(name: str, **contract: Any) -> Subject:
    return understand(Request("x", f"{__file__}:{name}", contract=contract))


@pytest.mark.parametrize(
    ("name", "meaning", "shape", "known"),
    [
        ("PaddingByName", "blocked", "[B, Tk]", "named"),
        ("BlockedByDocs", "blocked", "[B, Tq, Tk]", "documented"),
        ("MinusOne", "allowed", "[B, Tq, Tk]", "fitted"),
        ("Lengths", "lengths", "[B, Tq]", "named"),
        ("PerHead", "allowed", "[B, H, Tq, Tk]", "fitted"),
        ("Square", "allowed", "[Tq, Tk]", "fitted"),
    ],
)
def test_masks_are_read(name: str, meaning: str, shape: str, known: str) -> None:
    subject = read(name)
    assert (subject.contract.mask, subject.contract.mask_shape) == (meaning, shape)
    assert part(subject, "mask")[1] == known


@pytest.mark.parametrize(
    ("name", "declaration"),
    [
        ("Blocked", {"mask": "blocked"}),
        ("Added", {"mask": "additive"} | NAN),
        ("AddedByAnnotation", NAN),
        ("added_function", NAN),
        ("PaddingNamedWrongly", {"mask": "allowed"}),
        ("SquareUnnamed", {"mask_shape": "[Tq, Tk]"}),
        ("TimeFirst", {"layout": "TBD"}),
    ],
)
def test_what_contradicts_the_usual_answer_is_a_question_and_holds_as_declared(name: str, declaration: dict[str, str]) -> None:
    with pytest.raises(Question) as raised:
        read(name)
    assert raised.value.declaration == declaration
    assert "read in the usual way it is not" in str(raised.value)
    subject = read(name, **declaration)
    assert {getattr(subject.contract, field) for field in declaration} == set(declaration.values())
    assert "declared" in {u.known for u in subject.understood} or declaration == NAN


def test_a_declared_meaning_is_used_and_not_tried() -> None:
    """What contradicts it is for the properties to find."""
    subject = read("Blocked", mask="allowed")
    assert subject.contract.mask == "allowed"
    assert part(subject, "mask") == ("True may attend", "declared")


@pytest.mark.parametrize(
    ("name", "layout", "known"),
    [("TimeFirstByDocs", "TBD", "documented"), ("Pixels", "BCHW", "fitted"), ("Channels", "BDT", "fitted")],
)
def test_layouts_are_read(name: str, layout: str, known: str) -> None:
    subject = read(name)
    assert subject.contract.layout == layout
    assert part(subject, "layout")[1] == known


@pytest.mark.parametrize(("name", "aligned"), [("Causal", "top-left"), ("CausalAtTheEnd", "bottom-right")])
def test_a_causal_module_is_not_called_wrong(name: str, aligned: str) -> None:
    with pytest.raises(Question) as raised:
        read(name)
    assert f"it is causal, aligned {aligned}" in " ".join(str(raised.value).split())
    assert raised.value.declaration == {"causal": aligned}
    subject = understand(Request("x", f"{__file__}:{name}", contract=raised.value.declaration))
    assert subject.contract.causal == aligned
    found = understand(Request("x", f"{__file__}:{name}", contract={"causal": "no"}))  # declared, it is judged so
    assert found.contract.causal == "no"


def test_inverted_polarity_is_a_question_and_judged_as_declared(corpus: Path) -> None:
    with pytest.raises(Question) as raised:
        understand(str(corpus / "wrong" / "polarity_inverted.py"))
    assert raised.value.declaration == {"mask": "blocked"}
    wrong = str(corpus / "wrong" / "polarity_inverted.py")
    assert understand(Request("x", wrong, contract={"mask": "allowed"})).contract.mask == "allowed"


def by_heads(query, key, value, hide):
    """Attention on [B, H, T, d]; ``hide``, if any, is True where attention is not allowed."""
    s = query @ key.mT / key.size(-1) ** 0.5
    s = s if hide is None else s.masked_fill(hide, -1e9)
    return s.softmax(-1) @ value


def time_before_heads(q, k, v):
    return by_heads(*(x.transpose(1, 2) for x in (q, k, v)), None).transpose(1, 2)


def heads_with_samples(q, k, v, valid_lens=None):
    assert q.dim() == 3
    hide = None if valid_lens is None else (torch.arange(k.size(1)) >= valid_lens[:, None])[:, None]
    return by_heads(q, k, v, hide)


def mask_without_heads(q, k, v, mask=None):
    assert mask is None or mask.dim() == 3
    return by_heads(q, k, v, None if mask is None else mask[:, None] == 0)


def blocked_function(q, k, v, mask=None):
    return by_heads(q, k, v, mask)


def added_function(q, k, v, attn_bias_mask=None):
    """Attend.

    Args:
        attn_bias_mask: added to the scores.
    """
    s = q @ k.mT / k.size(-1) ** 0.5
    return (s if attn_bias_mask is None else s + attn_bias_mask).softmax(-1) @ v


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("time_before_heads", {"layout": "BTHD"}),
        ("heads_with_samples", {"layout": "(BH)TD", "mask": "lengths", "mask_shape": "[B]"}),
        ("mask_without_heads", {"layout": "BHTD", "mask": "allowed", "mask_shape": "[B, Tq, Tk]"}),
    ],
)
def test_functions_are_read(name: str, fields: dict[str, str]) -> None:
    contract = read(name).contract
    assert {field: getattr(contract, field) for field in fields} == fields
    again = read(name, **fields)
    assert {"declared"} >= {u.known for u in again.understood if set(u.declaration) & set(fields)}


def test_a_function_that_hides_is_a_question_and_read_as_declared() -> None:
    with pytest.raises(Question) as raised:
        read("blocked_function")
    assert raised.value.declaration == {"mask": "blocked"}
    assert read("blocked_function", mask="blocked").contract.mask_shape == "[B, 1, Tq, Tk]"


class SamplesLast(Plain):
    def forward(self, query, key, value, mask=None):
        return self.attend(query, key, value, None if mask is None else ~mask.permute(2, 0, 1)[:, None])


class KeyPad(Plain):
    def forward(self, x, key_pad):
        return self.attend(x, x, x, key_pad[:, None, None])


def test_a_mask_with_the_samples_last_and_a_padding_that_must_be_given() -> None:
    assert read("SamplesLast").contract.mask_shape == "[Tq, Tk, B]"
    subject = read("KeyPad")
    assert (subject.contract.mask, subject.contract.mask_shape, subject.caller.fills_mask) == ("blocked", "[B, Tk]", True)


@pytest.mark.parametrize(
    ("name", "contract"),
    [
        ("TimeFirst", {"layout": "TBD"}),
        ("Pixels", {}),
        ("Channels", {}),
        ("Lengths", {}),
        ("KeyPad", {}),
        ("time_before_heads", {}),
        ("heads_with_samples", {}),
        ("blocked_function", {"mask": "blocked"}),
    ],
)
def test_a_stand_alone_script_calls_by_the_reading(name: str, contract: dict[str, str], tmp_path: Path) -> None:
    request = Request(name, f"{__file__}:{name}", contract=contract)
    subject = understand(request)
    with check.recording() as record:
        record.recorder = Recorder()
        Trial(subject, generic_case(subject, "padding" if subject.adapter.takes_mask else "none"))()
        write_script(tmp_path / "s.py", request, subject, "oracle.x", "words", "message", record.recorder.calls)
    runpy.run_path(str(tmp_path / "s.py"))  # raises where a number is off by more than rounding


@pytest.mark.parametrize(
    ("name", "contract", "words"),
    [
        ("Plain", {"layout": "BTHD"}, "that of a module is one of BTD, TBD, BDT, BCHW"),
        ("blocked_function", {"mask": "blocked", "layout": "TBD"}, "that of a function of heads is one of BHTD, BTHD, (BH)TD"),
        (
            "Square",
            {"fully_masked_row": "zeros", "mask_shape": "[Tq, Tk]"},
            "the same for every sample, and of one that hides every key",
        ),
        (
            "Lengths",
            {"fully_masked_row": "finite", "mask": "lengths"},
            "its masks are [B, Tq], lengths, and of one that hides every key",
        ),
    ],
)
def test_what_applies_to_nothing_is_refused(name: str, contract: dict[str, str], words: str) -> None:
    with pytest.raises(Question) as raised:
        read("Blocked" if name == "Plain" else name, **contract)
    assert words in str(raised.value)


def test_a_shape_that_is_none_of_its_meaning_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"mask='lengths', mask_shape='\[B, Tk\]'\); must be one of '\[B, Tq\]', '\[B\]'"):
        Contract(mask="lengths", mask_shape="[B, Tk]")


def needs_its_mask(q, k, v, mask):
    scores = q @ k.mT / q.size(-1) ** 0.5
    weights = (scores + torch.where(mask, 0.0, -torch.inf)).softmax(-1)
    return weights.nan_to_num() @ v


def test_a_function_that_cannot_be_called_without_a_mask_is_given_one_that_allows_everything() -> None:
    found = verify(needs_its_mask, dtypes="float64", properties=("oracle.output_*", "purity.arguments_*"))
    assert found, str(found)
