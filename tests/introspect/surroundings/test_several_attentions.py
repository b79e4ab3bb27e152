"""A layer with several attentions: each is judged through the layer, with what the layer gives it and its own masks."""

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.judge.script.recorded_calls import Recorder
from mhsa.judge.script.standalone_script import write_script
from mhsa.judge.verification import verify
from mhsa.records.case import Case
from mhsa.records.errors import Question, SubjectError
from mhsa.records.request import Request
from mhsa.subject import check
from mhsa.subject.trial import Trial
from tests.helpers.layers import Layers

SOME = ("oracle.*", "gradients.gradients_of_p*", "copies.pickled_copies", "dropout.*")


class Attention(Layers):
    def forward(self, q, k, v, mask=None):
        return self.attend(q, k, v, None if mask is None else ~mask)


class Decoder(nn.Module):
    """Norms come after, as in the paper."""

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        self.self_attention, self.cross_attention = Attention(num_heads, d_model), Attention(num_heads, d_model)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(d_model) for _ in range(3))
        self.up, self.down = nn.Linear(d_model, 2 * d_model), nn.Linear(2 * d_model, d_model)

    def cross(self, x: Any, enc: Any, trg_mask: Any, src_mask: Any) -> Any:
        return self.cross_attention(x, enc, enc, src_mask)

    def forward(self, dec, enc, trg_mask=None, src_mask=None):
        x = self.norm1(dec + self.self_attention(dec, dec, dec, trg_mask))
        x = self.norm2(x + self.cross(x, enc, trg_mask, src_mask))
        return self.norm3(x + self.down(self.up(x).relu()))


class NormsBefore(Decoder):
    def forward(self, dec, enc, trg_mask=None, src_mask=None):
        x = self.norm1(dec)
        dec = dec + self.self_attention(x, x, x, trg_mask)
        dec = dec + self.cross(self.norm2(dec), enc, trg_mask, src_mask)
        return dec + self.down(self.up(self.norm3(dec)).relu())


class Inside(Attention):
    """The residual and the norm are parts of the attention."""

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.norm = nn.LayerNorm(d_model)

    def forward(self, q, k, v, mask=None):
        return self.norm(q + super().forward(q, k, v, mask))


class WithNormsInside(Decoder):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.self_attention, self.cross_attention = Inside(num_heads, d_model), Inside(num_heads, d_model)

    def forward(self, dec, enc, trg_mask=None, src_mask=None):
        x = self.cross(self.self_attention(dec, dec, dec, trg_mask), enc, trg_mask, src_mask)
        return x + self.down(self.up(x).relu())


class MasksOfTheTarget(Decoder):
    def cross(self, x: Any, enc: Any, trg_mask: Any, src_mask: Any) -> Any:
        return self.cross_attention(x, enc, enc, trg_mask)


class KeysOfTheTarget(Decoder):
    def cross(self, x: Any, enc: Any, trg_mask: Any, src_mask: Any) -> Any:
        return self.cross_attention(x, x, x, src_mask)


class Unscaled(WithNormsInside):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.cross_attention.scale = 1.0


class DropsAfterwards(Decoder):
    """No dropout is in the attentions, and no mask has a default."""

    def __init__(self, num_heads: int, d_model: int, drop_prob: float) -> None:
        super().__init__(num_heads, d_model)
        self.dropout = nn.Dropout(drop_prob)

    def forward(self, dec, enc, trg_mask, src_mask):
        x = self.norm1(dec + self.dropout(self.self_attention(dec, dec, dec, trg_mask)))
        return self.norm2(x + self.dropout(self.cross(x, enc, trg_mask, src_mask)))


class RefusesAMaskAndShiftsPadding(Decoder):
    def forward(self, dec, enc, dec_mask=None, enc_mask=None, enc_padding_mask=None):
        if enc_mask is not None:
            raise NotImplementedError
        hide = None if enc_padding_mask is None else enc_padding_mask[:, None].expand(-1, dec.size(1), -1)
        x = self.norm1(dec + self.self_attention(dec, dec, dec, dec_mask))
        return x + self.cross_attention(x, enc, enc, None if hide is None else ~hide.roll(1, -1))


class OfTorch(nn.Module):
    def __init__(self, nhead: int, d_model: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(d_model, nhead, batch_first=True)
        self.cross_attn = nn.MultiheadAttention(d_model, nhead, batch_first=True)
        self.norm = nn.LayerNorm(d_model)

    def forward(self, tgt, memory, tgt_mask=None, tgt_key_padding_mask=None):
        tgt = self.norm(tgt + self.self_attn(tgt, tgt, tgt, tgt_key_padding_mask, attn_mask=tgt_mask)[0])
        return tgt + self.cross_attn(tgt, memory, memory)[0]


def of(layer: type[nn.Module], path: str) -> str:
    return f"{__file__}:{layer.__name__}.{path}"


@pytest.mark.parametrize("layer", [Decoder, NormsBefore, WithNormsInside, DropsAfterwards])
@pytest.mark.parametrize("path", ["self_attention", "cross_attention"])
def test_each_attention_of_a_right_layer_holds(layer: type[nn.Module], path: str) -> None:
    found = verify(of(layer, path), dtypes="float64", properties=SOME)
    assert found, str(found)
    other = {"self_attention": "cross_attention", "cross_attention": "self_attention"}[path]
    assert {other, "what comes after it"} <= set(found.not_judged)


@pytest.mark.parametrize("layer", [MasksOfTheTarget, Unscaled])
def test_a_bug_in_one_of_them_is_found_there_alone(layer: type[nn.Module]) -> None:
    assert verify(of(layer, "self_attention"), dtypes="float64", properties="oracle.*")
    assert verify(of(layer, "cross_attention"), dtypes="float64", properties="oracle.*").verdict == "violated"


def test_without_a_declaration_it_is_a_question_that_names_each() -> None:
    spec = f"{__file__}:Decoder"
    with pytest.raises(Question, match=r"several attentions \(self_attention, cross_attention\)") as raised:
        understand(spec, ("float64",))
    assert raised.value.declaration == {"attention": "self_attention"}
    assert raised.value.means == (f"{spec}.self_attention", f"{spec}.cross_attention")
    with pytest.raises(Question) as raised:
        understand(Request("mine", spec, dtypes=("float64",)))
    assert raised.value.means == ()  # a configured subject is one thing


@pytest.mark.parametrize(
    ("target", "path", "words"),
    [
        (Decoder, "crossed", "the attentions that can be judged alone are: self_attention, cross_attention"),
        (Attention, "core", "the attentions that can be judged alone are: none"),
    ],
)
def test_what_is_none_of_them_is_said(target: type[nn.Module], path: str, words: str) -> None:
    with pytest.raises(SubjectError, match=words):
        understand(of(target, path), ("float64",))


def test_keys_of_the_wrong_sequence_never_hold() -> None:
    assert verify(of(KeysOfTheTarget, "cross_attention"), dtypes="float64", properties="oracle.*").verdict != "holds"


def test_a_script_shows_the_bug_of_one(tmp_path: Path) -> None:
    request = Request.of(of(Unscaled, "cross_attention"), dtypes=("float64",))
    subject = understand(request)
    with check.recording() as record:
        record.recorder = Recorder()
        Trial(subject, Case("float64", 1, 2, 3, 4, 3, data="normal"))()
    write_script(tmp_path / "s.py", request, subject, "oracle.output_without_mask", "a law.", "off", record.recorder.calls)
    with pytest.raises(AssertionError, match="output is off by up to"):
        exec(compile((tmp_path / "s.py").read_text(), "s.py", "exec"), {})


def test_a_padding_of_keys_is_tried_in_its_usual_form_first() -> None:
    contract = {"mask": "blocked", "fully_masked_row": "nan", "reason": "torch gives NaN"}
    read = understand(Request.of(of(OfTorch, "self_attn"), dtypes=("float64",), contract=contract))
    words = "tgt_key_padding_mask: hides what the mask marks with True, [B, Tk]; tried alone and together with tgt_mask"
    assert words in [part.text for part in read.understood]


def test_the_first_mask_that_is_taken_is_judged_whether_or_not_it_is_right() -> None:
    spec = of(RefusesAMaskAndShiftsPadding, "cross_attention")
    assert "enc_padding_mask=mask" in understand(spec, ("float64",)).adapter.describe()
    assert verify(spec, dtypes="float64", properties="oracle.*").verdict == "violated"


class ResidualOfTheInput(Decoder):
    """The residual around the second attention lacks what the first one gave."""

    def forward(self, dec, enc, trg_mask=None, src_mask=None):
        x = self.norm1(dec + self.self_attention(dec, dec, dec, trg_mask))
        return self.norm2(dec + self.cross(x, enc, trg_mask, src_mask))


class WithoutASecondResidual(Decoder):
    def forward(self, dec, enc, trg_mask=None, src_mask=None):
        x = self.norm1(dec + self.self_attention(dec, dec, dec, trg_mask))
        return self.norm2(self.cross(x, enc, trg_mask, src_mask))


def test_what_the_whole_layer_computes_is_judged_with_each() -> None:
    usual = "a = norm(x + attention(x)); b = norm(a + attention(a, y)); norm(b + feed_forward(b))"
    for path in ("self_attention", "cross_attention"):
        assert (understand(of(Decoder, path), ("float64",)).layer) == usual
        found = verify(of(ResidualOfTheInput, path), dtypes="float64", properties=["layers.*", "oracle.output_*"])
        assert [p.id for p in found.properties if p.outcome == "fail"] == ["layers.residuals_are_in_their_places"]
    with pytest.raises(Question, match=r"the layer computes .*, which is no usual form") as asked:
        understand(of(WithoutASecondResidual, "self_attention"), ("float64",))
    read = understand(
        Request.of(of(WithoutASecondResidual, "self_attention"), dtypes=("float64",), contract=asked.value.declaration)
    )
    assert (read.layer, read.wrong_layer) == ("norm(attention(norm(x + attention(x)), y))", "")
