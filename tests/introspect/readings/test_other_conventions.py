"""Heads, constructors, outputs and rows that are not as usual are read by an exact fit; what is wrong stays wrong."""

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mhsa.introspect.readings.layouts import TAKES
from mhsa.introspect.readings.masks.polarity import MEANS
from mhsa.introspect.resolve import understand
from mhsa.judge.script.recorded_calls import Recorder
from mhsa.judge.script.standalone_script import write_script
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject import check
from mhsa.subject.generic_inputs import generic_case
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial
from tests.helpers.places import ROOT

OUTPUT = "oracle.output_*"


def attend(q, k, v, hide=None):
    """Attention on [B, H, T, d]; ``hide``, if any, is True where attention is not allowed."""
    s = q @ k.mT / k.size(-1) ** 0.5
    return (s if hide is None else s.masked_fill(hide, -1e9)).softmax(-1) @ v


class Layers(nn.Module):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def split(self, x):
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class Interleaved(Layers):
    """Feature c belongs to head c mod H, where heads are split and where they are merged."""

    def forward(self, query, key, value, mask=None):
        q, k, v = (
            f(x).unflatten(-1, (-1, self.num_heads)).permute(0, 3, 1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        z = attend(q, k, v, None if mask is None else ~mask[:, None])
        return self.o(z.permute(0, 2, 3, 1).flatten(2))


class InterleavedAndKeysForValues(Interleaved):
    def forward(self, query, key, value, mask=None):
        return super().forward(query, key, key, mask)


class HeadSize(nn.Module):
    """Says head_size and means how many heads there are."""

    def __init__(self, hidden_size, head_size=8):
        super().__init__()
        assert hidden_size % head_size == 0
        self.head_size, self.scale = head_size, (hidden_size // head_size) ** -0.5
        self.q, self.k, self.v, self.o = (nn.Linear(hidden_size, hidden_size) for _ in range(4))

    def forward(self, query, key, value):
        q, k, v = (
            f(x).unflatten(-1, (self.head_size, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        return self.o(((q @ k.mT * self.scale).softmax(-1) @ v).transpose(1, 2).flatten(2))


class HeadSizeUnscaled(HeadSize):
    def __init__(self, hidden_size, head_size=8):
        super().__init__(hidden_size, head_size)
        self.scale = 1.0


class FirstToken(Layers):
    """The first token alone looks at all others."""

    def forward(self, x):
        z = attend(self.split(self.q(x[:, :1])), self.split(self.k(x)), self.split(self.v(x)))
        return self.o(z.transpose(1, 2).flatten(2))


class FirstTokenWithoutItsAxis(FirstToken):
    def forward(self, x):
        return super().forward(x).squeeze(1)


class FirstTokenSharesAMap(FirstToken):
    def forward(self, x):
        self.k = self.q
        return super().forward(x)


class NaNRows(Layers):
    def forward(self, query, key, value, mask=None):
        q, k, v = self.split(self.q(query)), self.split(self.k(key)), self.split(self.v(value))
        s = q @ k.mT / k.size(-1) ** 0.5
        s = s if mask is None else s.masked_fill(~mask[:, None], -torch.inf)
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Unscaled(Layers):
    """Does not scale, unless ``scale`` says so."""

    def __init__(self, num_heads, d_model, scale=False):
        super().__init__(num_heads, d_model)
        self.scale = scale

    def forward(self, x):
        q, k, v = (self.split(f(x)) for f in (self.q, self.k, self.v))
        s = q @ k.mT / (k.size(-1) ** 0.5 if self.scale else 1.0)
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class LengthsInWrongOrder(Layers):
    """Takes a length for each sample or for each query; those of samples are repeated in the order of queries."""

    def forward(self, queries, keys, values, valid_lens=None):
        hide = None
        if valid_lens is not None:
            per_query = valid_lens.repeat(queries.size(1)) if valid_lens.dim() == 1 else valid_lens.flatten()
            hide = torch.arange(keys.size(1)) >= per_query.view(len(queries), -1)[..., None]
            hide = hide[:, None]
        q, k, v = self.split(self.q(queries)), self.split(self.k(keys)), self.split(self.v(values))
        return self.o(attend(q, k, v, hide).transpose(1, 2).flatten(2))


class CausalAttention(Layers):
    """Is not what its name says."""

    def forward(self, x):
        q, k, v = (self.split(f(x)) for f in (self.q, self.k, self.v))
        return self.o(attend(q, k, v).transpose(1, 2).flatten(2))


def read(name: str, **contract: Any) -> Subject:
    return understand(Request("x", f"{__file__}:{name}", contract=contract))


def asked(name: str) -> Question:
    with pytest.raises(Question) as raised:
        read(name)
    return raised.value


def judged(name: str, **contract: Any) -> Any:
    return verify(f"{__file__}:{name}", contract=contract or None, dtypes="float64", properties=OUTPUT)


def test_interleaved_heads_are_a_question_and_hold_as_declared() -> None:
    question = asked("Interleaved")
    assert question.declaration == {"heads": "interleaved"}
    assert "takes every H-th feature for one head" in str(question)
    found = verify(
        f"{__file__}:Interleaved", contract=question.declaration, dtypes="float64",
        properties=("oracle.*", "gradients.gradients_of_parameters", "heads.*"),
    )  # fmt: skip
    assert found, str(found)
    assert not judged("Interleaved", heads="consecutive")


def test_interleaved_heads_explain_no_other_bug() -> None:
    assert not judged("InterleavedAndKeysForValues")
    assert not judged("InterleavedAndKeysForValues", heads="interleaved")


def test_a_width_of_a_head_that_is_the_number_of_heads_is_found_by_the_fit() -> None:
    subject = read("HeadSize")
    assert subject.understood[0].text == "head_size is the number of heads"
    assert judged("HeadSize")
    assert not judged("HeadSizeUnscaled")


@pytest.mark.parametrize("name", ["FirstToken", "FirstTokenWithoutItsAxis"])
def test_an_output_of_one_row_is_that_of_the_first_token(name: str, tmp_path: Path) -> None:
    subject = read(name)
    assert "one row, that of the first token as the only query" in dict(subject.notes)["output"]
    assert judged(name)
    with check.recording() as record:
        record.recorder = Recorder()
        Trial(subject, generic_case(subject))()
        request = Request(name, f"{__file__}:{name}")
        write_script(tmp_path / "s.py", request, subject, "oracle.x", "words", "message", record.recorder.calls)
    assert "to put each token first" in " ".join((tmp_path / "s.py").read_text().split())
    runpy.run_path(str(tmp_path / "s.py"))  # raises where a number is off by more than rounding


def test_an_output_of_one_row_that_is_wrong_is_violated() -> None:
    found = judged("FirstTokenSharesAMap")
    assert not found
    assert "output has shape" in str(found)


def test_nan_in_fully_masked_rows_is_a_question_and_violated_where_zeros_are_declared() -> None:
    question = asked("NaNRows")
    assert question.declaration["fully_masked_row"] == "nan"
    assert "may give NaN where a query may attend to no key" in str(question)
    assert read("NaNRows", **question.declaration).contract.fully_masked_row == "nan"
    assert not judged("NaNRows", fully_masked_row="zeros")


def test_a_switch_of_the_scale_is_on() -> None:
    subject = read("Unscaled")
    assert "scale (True)" in dict(subject.notes)["constructor"]
    assert judged("Unscaled")


def test_lengths_of_samples_are_judged_where_they_are_taken_beside_those_of_queries() -> None:
    assert read("LengthsInWrongOrder").contract.mask_shape == "[B]"
    assert not judged("LengthsInWrongOrder")


def test_a_name_that_says_causal_is_asked_about() -> None:
    question = asked("CausalAttention")
    assert question.declaration == {"causal": "top-left"}
    assert not judged("CausalAttention", **question.declaration)
    assert read("CausalAttention", causal="no").contract.causal == "no"


def test_the_page_has_every_layout_and_meaning_of_a_mask() -> None:
    page = " ".join((ROOT / "docs" / "readings.md").read_text().split())
    assert [words for words in (*TAKES.values(), *MEANS.values()) if words not in page] == []
