"""What a call returns that is not judged: weights in other forms are named, and called wrong only where they must be."""

import re
from pathlib import Path

import pytest

from mhsa.introspect.resolve import understand
from mhsa.judge.inline import judge_inline
from mhsa.records.request import Request
from tests.helpers.model_file import model_file

MODEL = """
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        self.num_heads, self.d_model = num_heads, d_model
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def attend(self, query, key, value, mask=None):
        parts = ((self.q, query), (self.k, key), (self.v, value))
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in parts)
        scores = q @ k.mT / q.size(-1) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(1), -1e9)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), weights


def giving(form, kept="", self_attention=False):
    class Giving(Attention):
        def forward(self, query, key, value, mask=None):
            output, weights = self.attend(query, key, value, mask)
            given = FORMS[form](weights, query, key)
            if kept:
                setattr(self, kept, given)
            return output if kept else (output, given)

    class Self(Giving):
        def forward(self, x, mask=None):
            return super().forward(x, x, x, mask)

    return Self if self_attention else Giving


FORMS = {
    "usual": lambda w, q, k: w,
    "heads first": lambda w, q, k: w.transpose(0, 1),
    "heads last": lambda w, q, k: w.permute(0, 2, 3, 1),
    "transposed": lambda w, q, k: w.mT,
    "averaged": lambda w, q, k: w.mean(1),
    "summed": lambda w, q, k: w.sum(1),
    "flat": lambda w, q, k: w.flatten(0, 1),
    "scores": lambda w, q, k: w.log().transpose(0, 1),
    "halved": lambda w, q, k: 0.5 * w.transpose(0, 1),
    "nan": lambda w, q, k: w.transpose(0, 1) * torch.nan,
    "rows": lambda w, q, k: w.sum(-1),
    "cache": lambda w, q, k: (k, k),
    "bfloat16": lambda w, q, k: w.transpose(0, 1).bfloat16(),
    "nothing": lambda w, q, k: None,
    "loss": lambda w, q, k: 0.0,
}


class Twice(Attention):
    def forward(self, query, key, value, mask=None):
        output, self.attn = self.attend(query, key, value, mask)
        self.weights = self.attn.detach().clone()
        return output, self.attn


class Inner(nn.Module):
    def forward(self, weights):
        self.attn_weights = weights
        return weights


class Nested(Attention):
    def __init__(self, num_heads, d_model):
        super().__init__(num_heads, d_model)
        self.inner = Inner()
        self.register_buffer("weights", torch.ones(3))
        self.attention_weights = torch.ones(2, 5)

    def forward(self, query, key, value, mask=None):
        output, weights = self.attend(query, key, value, mask)
        self.inner(weights)
        return output


""" + "".join(
    f"{name} = giving({form!r}, {kept!r}, {alone})\n"
    for name, form, kept, alone in [
        ("Usual", "usual", "attn", False), ("HeadsFirst", "heads first", "attn", False),
        ("HeadsLast", "heads last", "p_attn", False), ("Transposed", "transposed", "attn", False),
        ("Averaged", "averaged", "attention_weights", False), ("Summed", "summed", "attn", False),
        ("Flat", "flat", "attn", False), ("Scores", "scores", "attn", False), ("Halved", "halved", "attn", False),
        ("Nan", "nan", "attn", False), ("Rounded", "bfloat16", "attn", False), ("Rows", "rows", "attn", False),
        ("ReturnedHeadsFirst", "heads first", "", False), ("ReturnedAveraged", "averaged", "", False),
        ("ReturnedScores", "scores", "", False), ("ReturnedCache", "cache", "", False),
        ("ReturnedNothing", "nothing", "", False), ("ReturnedLoss", "loss", "", False),
        ("SelfHeadsLast", "heads last", "attn", True), ("SelfScores", "scores", "attn", True),
    ]
)  # fmt: skip
model = model_file(MODEL)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Usual", ""),
        ("Twice", ""),
        ("ReturnedNothing", ""),
        ("ReturnedLoss", ""),
        ("HeadsFirst", "weights in attn: shape [H, B, Tq, Tk]"),
        ("HeadsLast", "weights in p_attn: shape [B, Tq, Tk, H]"),
        ("Transposed", "weights in attn: shape [B, H, Tk, Tq]"),
        ("Averaged", "weights in attention_weights: shape [B, Tq, Tk]"),
        ("Summed", "weights in attn: shape [B, Tq, Tk]"),
        ("Flat", "weights in attn: shape [B*H, Tq, Tk]"),
        ("Rounded", "weights in attn: shape [H, B, Tq, Tk]"),
        ("Rows", "weights in attn: shape [2, 4, 3] for B=2, H=4, Tq=3, Tk=7"),
        ("ReturnedHeadsFirst", ""),
        ("ReturnedAveraged", "weights returned: shape [B, Tq, Tk], the mean over heads"),
        ("ReturnedCache", "value 2 of 2 returned: a tuple"),
        ("SelfHeadsLast", "weights in attn: shape [B, Tq, Tk, H]"),
        ("Nested", "weights in inner.attn_weights: shape [B, H, Tq, Tk]"),
    ],
)
def test_weights_in_another_form_are_named_and_not_called_wrong(model: Path, name: str, words: str) -> None:
    subject = understand(f"{model}:{name}", ("float64",))
    assert subject.not_judged == ((words,) if words else ())
    assert subject.no_weights == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Scores", "weights in attn: shape [H, B, Tq, Tk]; over the keys they sum to -"),
        ("Halved", "weights in attn: shape [H, B, Tq, Tk]; over the keys they sum to 0.5 at least and 0.5 at most, not to 1"),
        ("Nan", "weights in attn: shape [H, B, Tq, Tk]; over the keys they sum to nan at least and nan at most, not to 1"),
        ("ReturnedScores", "weights returned: shape [H, B, Tq, Tk]; over the keys they sum to -"),
        ("SelfScores", "weights in attn: shape [H, B, Tq, Tk]; over the keys they sum to -"),
    ],
)
def test_what_can_only_be_weights_and_is_none_is_a_violation(model: Path, name: str, words: str) -> None:
    meant = {"weights": "softmax"} if name == "ReturnedScores" else {}  # else it is a question
    request = Request("m", f"{model}:{name}", dtypes=("float64",), contract=meant)
    with pytest.raises(pytest.fail.Exception, match=re.escape(words)):
        judge_inline(request, "weights.rows_sum_to_one", strict=False)
    judge_inline(request, "oracle.output_without_mask", strict=False)


def test_a_module_of_one_size_is_called_with_sizes_that_differ_from_it(model: Path) -> None:
    (model.parent / "built.py").write_text("import model\nbuilt = model.HeadsFirst(2, 6)\none = model.Flat(1, 6)\n")
    assert understand(f"{model.parent}/built.py:built", ("float64",)).not_judged == ("weights in attn: shape [H, B, Tq, Tk]",)
    assert understand(f"{model.parent}/built.py:one", ("float64",)).not_judged == ("weights in attn: shape [B, Tq, Tk]",)
