"""Modules that take other numbers of queries than keys have, or samples and pixels in further axes."""

import runpy
from pathlib import Path
from typing import Any

import pytest
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
from tests.helpers.layers import Layers

MORE = ("oracle.*", "gradients.gradients_of_inputs", "edges.*", "masks.*")


class OneQuery(Layers):
    """A target asks its history."""

    def forward(self, target, history, mask=None):
        hide = None if mask is None else (mask == 0).view(len(target), 1, -1)
        return self.attend(target.view(len(target), 1, -1), history, history, hide).squeeze(1)


class OneQueryWithItsAxis(OneQuery):
    def forward(self, query, memory, mask=None):
        if query.size(1) != 1:
            raise ValueError(query.shape)
        return super().forward(query, memory, mask).unsqueeze(1)


class OneQueryUnscaled(OneQuery):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.scale = 1.0


class FirstQueryAlone(Layers):
    """Gives one row for many queries, as it should not."""

    def forward(self, query, memory):
        return self.attend(query[:, :1], memory, memory)


class EqualLengths(Layers):
    """Lays out keys with the length of the query."""

    def forward(self, query, key, value, mask=None):
        batch, length, width = query.shape
        key, value = (x.reshape(batch, length, width) for x in (key, value))
        return self.attend(query, key, value, None if mask is None else ~mask)


class EqualLengthsAndKeysForValues(EqualLengths):
    def forward(self, query, key, value, mask=None):
        return super().forward(query, key, key, mask)


class EqualLengthsAndCausal(EqualLengths):
    def __init__(self, num_heads: int, d_model: int, causal: bool = False) -> None:
        super().__init__(num_heads, d_model)
        self.causal = causal

    def forward(self, query, key, value):
        mask = query.new_ones(len(query), query.size(1), query.size(1)).bool().tril() if self.causal else None
        return super().forward(query, key, value, mask)


class EqualLengthsOfADecoder(EqualLengths):
    def forward(self, query, key, value):
        length = query.size(1)
        return super().forward(query, key, value, query.new_ones(len(query), length, length).bool().tril())


class EqualLengthsOfADecoderAndKeysForValues(EqualLengthsOfADecoder):
    def forward(self, query, key, value):
        return super().forward(query, key, key)


class TwoAxesOfSamples(Layers):
    def forward(self, query, key, value, mask=None):
        batch, nodes = query.shape[:2]
        query, key, value = (x.reshape(batch * nodes, -1, x.size(-1)) for x in (query, key, value))
        hide = None if mask is None else (mask == 0).repeat_interleave(nodes, dim=0)
        return self.attend(query, key, value, hide).unflatten(0, (batch, nodes))


class SamplesInTheWrongOrder(TwoAxesOfSamples):
    def forward(self, query, key, value, mask=None):
        key = key.transpose(0, 1).reshape(key.shape)
        return super().forward(query, key, value, mask)


class SamplesAndKeysForValues(TwoAxesOfSamples):
    def forward(self, query, key, value, mask=None):
        return super().forward(query, key, key, mask)


class ChannelsLast(Layers):
    def forward(self, x):
        _, height, width, _ = x.shape
        x = x.flatten(1, 2)
        return self.attend(x, x, x).unflatten(1, (height, width))


class RowOfPixels(nn.Module):
    """Attends within each row of a picture, of which there is to be one."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        assert dim % heads == 0
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Conv2d(dim, dim, 1) for _ in range(4))

    def attend(self, q, k, v):
        return (q @ k.mT / k.size(-1) ** 0.5).softmax(-1) @ v

    def forward(self, x):
        q, k, v = (f(x).unflatten(1, (self.heads, -1)).permute(0, 1, 3, 4, 2) for f in (self.q, self.k, self.v))
        return self.o(self.attend(q, k, v).permute(0, 1, 4, 2, 3).flatten(1, 2))


class DocumentedRow(RowOfPixels):
    """Takes x: (batch, channels, 1, length)."""


class RowOfPixelsAndKeysForValues(RowOfPixels):
    def attend(self, q, k, v):
        return super().attend(q, k, k)


class OneRowAtATime(RowOfPixels):
    """Refuses pictures of several rows."""

    def forward(self, x):
        if x.size(2) != 1:
            raise ValueError(x.shape)
        return super().forward(x)


class Picture(RowOfPixels):
    """All pixels of a picture attend to each other."""

    def forward(self, x):
        q, k, v = (f(x).flatten(2).unflatten(1, (self.heads, -1)).mT for f in (self.q, self.k, self.v))
        weights = self.weights(q @ k.mT / k.size(-1) ** 0.5, x.size(2))
        return self.o((weights @ v).mT.flatten(1, 2).unflatten(-1, x.shape[2:]))

    def weights(self, s, rows):
        return s.softmax(-1)


class PictureNormalisedOverItsWidth(Picture):
    def weights(self, s, rows):
        return s.unflatten(-1, (rows, -1)).softmax(-1).flatten(-2)


class PicturePutBackInAnotherOrder(Picture):
    def forward(self, x):
        return super().forward(x.mT.reshape(x.shape))


def read(name: str, **contract: Any) -> Subject:
    return understand(Request("x", f"{__file__}:{name}", contract=contract))


def asked(name: str) -> Question:
    with pytest.raises(Question) as raised:
        read(name)
    return raised.value


def judged(name: str, properties: Any = "oracle.output_*", **contract: Any) -> Any:
    return verify(f"{__file__}:{name}", contract=contract or None, dtypes="float64", properties=properties)


def runs_as_a_script(name: str, tmp_path: Path, **contract: Any) -> str:
    subject = read(name, **contract)
    with check.recording() as record:
        record.recorder = Recorder()
        Trial(subject, generic_case(subject, "random" if subject.adapter.takes_mask else "none"))()
        request = Request(name, f"{__file__}:{name}", contract=contract)
        write_script(tmp_path / "s.py", request, subject, "oracle.x", "words", "message", record.recorder.calls)
    runpy.run_path(str(tmp_path / "s.py"))  # raises where a number is off by more than rounding
    return " ".join((tmp_path / "s.py").read_text().split())


@pytest.mark.parametrize("name", ["OneQuery", "OneQueryWithItsAxis"])
def test_one_query_for_each_sample_is_given_alone(name: str) -> None:
    said = next(x.text for x in read(name).understood if "one query for each sample" in x.text)
    assert said.endswith("each query is given alone")
    found = judged(name, MORE)
    assert found, str(found)


def test_a_script_gives_each_query_alone(tmp_path: Path) -> None:
    subject = read("OneQuery")
    assert subject.contract.mask_shape == "[B, Tk]"
    with check.recording() as record:
        record.recorder = Recorder()
        Trial(subject, generic_case(subject))()
        request = Request("x", f"{__file__}:OneQuery")
        write_script(tmp_path / "s.py", request, subject, "oracle.x", "words", "message", record.recorder.calls)
    assert "to give each query alone" in " ".join((tmp_path / "s.py").read_text().split())
    runpy.run_path(str(tmp_path / "s.py"))


@pytest.mark.parametrize("name", ["OneQueryUnscaled", "FirstQueryAlone"])
def test_one_query_explains_no_bug_away(name: str) -> None:
    assert judged(name).verdict == "violated"


@pytest.mark.parametrize(
    "declared", [{"causal": "top-left"}, {"window": [2, 0]}, {"rotary": "half"}, {"bias": "alibi"}], ids=lambda d: next(iter(d))
)
def test_a_single_query_has_no_place(declared: dict[str, Any]) -> None:
    """What counts places is refused: it was judged as if each query had its own, and right modules were violated."""
    with pytest.raises(Question, match="which is given alone and has no place among the keys"):
        read("OneQuery", **declared)
    assert read("OneQuery", causal="no").contract.causal == "no"


def test_equal_lengths_are_a_question_and_hold_as_declared(tmp_path: Path) -> None:
    question = asked("EqualLengths")
    assert question.declaration == {"lengths": "equal"}
    assert "takes as many queries as keys: others raise" in str(question)
    found = judged("EqualLengths", MORE, lengths="equal")
    assert found, str(found)
    assert judged("EqualLengths", lengths="any").verdict == "violated"
    assert "to give as many queries as keys" in runs_as_a_script("EqualLengths", tmp_path, lengths="equal")


def test_equal_lengths_explain_no_bug_away() -> None:
    assert judged("EqualLengthsAndKeysForValues").verdict == "violated"
    assert judged("EqualLengthsAndKeysForValues", lengths="equal").verdict == "violated"


def test_a_switch_is_judged_where_lengths_are_equal() -> None:
    (switch,) = read("EqualLengthsAndCausal", lengths="equal").switches
    assert switch.square
    found = judged("EqualLengthsAndCausal", lengths="equal")
    assert found, str(found)


def test_places_are_counted_with_equal_lengths_alone() -> None:
    declared = {"lengths": "equal", "causal": "top-left"}
    question = asked("EqualLengthsOfADecoder")
    assert question.declaration == declared
    assert str(question).startswith("it takes as many queries as keys, where others raise, and is causal")
    with pytest.raises(Question) as raised:
        read("EqualLengthsOfADecoder", causal="top-left")
    assert raised.value.declaration == {"lengths": "equal"}
    found = judged("EqualLengthsOfADecoder", MORE, **declared)
    assert found, str(found)
    assert judged("EqualLengthsOfADecoder", causal="no").verdict == "violated"
    assert judged("EqualLengthsOfADecoderAndKeysForValues", **declared).verdict == "violated"
    assert judged("EqualLengthsOfADecoderAndKeysForValues").verdict == "violated"


def test_equal_lengths_are_declared_of_keys_alone() -> None:
    with pytest.raises(Question, match="the subject is self-attention, whose lengths are equal"):
        read("RowOfPixels", lengths="equal")
    with pytest.raises(ValueError, match="must be one of None, 'any', 'equal'"):
        Contract(lengths="same")  # type: ignore[arg-type]


def test_samples_in_two_axes_are_read() -> None:
    assert read("TwoAxesOfSamples").contract.layout == "BNTD"
    found = judged("TwoAxesOfSamples", MORE)
    assert found, str(found)
    assert judged("SamplesInTheWrongOrder").verdict == "violated"


def test_four_axes_that_fit_in_no_way_are_a_question() -> None:
    assert asked("SamplesAndKeysForValues").declaration == {"layout": "BNTD"}
    assert judged("SamplesAndKeysForValues", layout="BNTD").verdict == "violated"


def test_pictures_with_their_channels_last_are_read() -> None:
    assert read("ChannelsLast").contract.layout == "BHWC"
    found = judged("ChannelsLast", MORE)
    assert found, str(found)


def test_a_row_of_pixels_is_a_question_unless_it_is_documented() -> None:
    assert asked("RowOfPixels").declaration == {"layout": "BD1T"}
    assert judged("RowOfPixels", layout="BD1T")
    assert judged("RowOfPixels", layout="BCHW").verdict == "violated"
    assert judged("DocumentedRow")
    assert judged("RowOfPixelsAndKeysForValues").verdict == "violated"
    assert asked("OneRowAtATime").declaration == {"layout": "BD1T"}


@pytest.mark.parametrize("name", ["PictureNormalisedOverItsWidth", "PicturePutBackInAnotherOrder"])
def test_a_row_of_pixels_explains_no_bug_of_pictures_away(name: str) -> None:
    """Pictures of one row do not show it, and are not offered as what is meant."""
    assert judged("Picture")
    assert judged(name).verdict == "violated"
