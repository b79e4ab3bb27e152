"""Masks that a layer hands to its attentions: that of another sequence, none, or a turned one is violated."""

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.conventions.masks_of_layers import masks_of_layer, own_and_other
from mhsa.records.request import Request
from tests.helpers.layers import Layers

ATTENTION = """
import torch
from torch import nn

class Attention(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, q, k, v, mask=None):
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in ((self.q, q), (self.k, k), (self.v, v))
        )
        scores = q @ k.mT / q.size(-1) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(1), -1e9)
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
"""
LAYER = """

class DecoderLayer(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        self.own, self.cross = Attention(num_heads, d_model), Attention(num_heads, d_model)
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)

    def forward(self, x, memory, SIGNATURE):
        x = self.norm1(x + self.own(x, x, x, OWN))
        return self.norm2(x + self.cross(x, memory, memory, CROSS))
"""
BOTH = "tgt_mask=None, memory_mask=None"
TO_CROSS = "DecoderLayer: it hands tgt_mask to cross, which attends to memory, and memory_mask to no attention that does"


def layer(folder: Path, own: str, cross: str, signature: str = BOTH, more: str = "") -> str:
    body = LAYER.replace("SIGNATURE", signature).replace("OWN", own).replace("CROSS", cross)
    (folder / "model.py").write_text(ATTENTION + body + more)
    return str(folder / "model.py")


@pytest.mark.parametrize(
    ("own", "cross", "signature"),
    [
        ("tgt_mask", "memory_mask", BOTH),
        ("trg_mask", "src_mask", "src_mask, trg_mask"),
        ("look_ahead_mask", "padding_mask", "look_ahead_mask=None, padding_mask=None"),
        ("attention_mask", "encoder_attention_mask", "attention_mask=None, encoder_attention_mask=None"),
        ("slf_attn_mask", "dec_enc_attn_mask", "slf_attn_mask=None, dec_enc_attn_mask=None"),
        ("tgt_mask", "None if memory_mask is None else memory_mask & tgt_mask", BOTH),  # combined
        ("tgt_mask if tgt_mask is None else tgt_mask & memory_mask", "memory_mask", BOTH),
        ("tgt_mask", "None if memory_mask is None else ~(~memory_mask).expand(-1, x.size(1), -1)", BOTH),
    ],
)
def test_a_layer_that_hands_on_its_masks_is_right(tmp_path: Path, own: str, cross: str, signature: str) -> None:
    subject = understand(layer(tmp_path, own, cross, signature), ("float64",))
    assert subject.wrong_masks == ""
    assert subject.layers_with_masks == ("DecoderLayer",)


@pytest.mark.parametrize(
    ("own", "cross", "signature"),
    [
        ("tgt_mask", "tgt_mask", "tgt_mask=None"),  # there is no other one
        ("torch.ones(x.size(1), x.size(1), dtype=torch.bool).tril()[None]", "memory_mask", "memory_mask=None"),
        ("a_mask", "a_mask", "a_mask=None, b_mask=None"),  # whose is not said
    ],
)
def test_where_names_do_not_say_whose_masks_are_nothing_is_said(tmp_path: Path, own: str, cross: str, signature: str) -> None:
    subject = understand(layer(tmp_path, own, cross, signature), ("float64",))
    assert (subject.layers_with_masks, subject.wrong_masks) == ((), "")


@pytest.mark.parametrize("cross", ["src_mask", "tgt_mask"])
def test_a_sequence_whose_name_says_so_is_the_layers_own(tmp_path: Path, cross: str) -> None:
    path = Path(layer(tmp_path, "tgt_mask", cross, "tgt_mask, src_mask"))
    text = path.read_text().replace("self, x, memory", "self, tgt, src").replace("(x, memory, memory", "(x, src, src")
    path.write_text(text.replace("self.norm1(x + self.own(x, x, x,", "self.norm1(tgt + self.own(tgt, tgt, tgt,"))
    subject = understand(str(path), ("float64",))
    assert subject.layers_with_masks == ("DecoderLayer",)
    assert ("tgt_mask to cross, which attends to src" in subject.wrong_masks) == (cross == "tgt_mask")


@pytest.mark.parametrize(
    ("own", "cross", "said"),
    [
        ("tgt_mask", "tgt_mask", TO_CROSS),
        ("memory_mask", "tgt_mask", TO_CROSS),
        (
            "memory_mask",
            "memory_mask",
            "DecoderLayer: it hands memory_mask to own, which attends to x, and tgt_mask to no attention that does",
        ),
        ("tgt_mask", "None if tgt_mask is None else ~(tgt_mask == 0)", TO_CROSS),
        (
            "tgt_mask",
            "None",
            "DecoderLayer: it hands memory_mask to no attention: cross, which attends to memory, is given no mask",
        ),
        (
            "None if tgt_mask is None else tgt_mask.mT",
            "memory_mask",
            "DecoderLayer: it hands tgt_mask to own with the axes of queries and keys interchanged",
        ),
    ],
)
def test_another_mask_is_violated(tmp_path: Path, own: str, cross: str, said: str) -> None:
    assert understand(layer(tmp_path, own, cross), ("float64",)).wrong_masks == said


def test_the_violation_is_one_of_its_own(tmp_path: Path) -> None:
    path = layer(tmp_path, "tgt_mask", "tgt_mask")
    found = verify(path, dtypes="float64", properties=["layers.*", "oracle.output_under_masks"])
    assert [p.id for p in found.properties if p.outcome == "fail"] == ["layers.masks_go_to_their_attentions"]
    one = verify(f"{path}:DecoderLayer.own", dtypes="float64", properties=["layers.*"])
    assert [p.id for p in one.properties if p.outcome == "fail"] == ["layers.masks_go_to_their_attentions"]
    left = verify(path, dtypes="float64", properties=["oracle.output_under_masks"], contract={"surroundings": "left-out"})
    assert left.verdict == "holds"


def test_an_argument_that_is_said_to_be_unused_is_no_mistake(tmp_path: Path) -> None:
    path = Path(layer(tmp_path, "tgt_mask", "None"))
    path.write_text(path.read_text().replace("        x = self.norm1", "        del memory_mask\n        x = self.norm1"))
    assert understand(str(path), ("float64",)).wrong_masks == ""


ENCODER = """

class EncoderLayer(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        self.own, self.norm = Attention(num_heads, d_model), nn.LayerNorm(d_model)

    def forward(self, x, src_mask=None, src_key_padding_mask=None):
        return self.norm(x + self.own(x, x, x, src_mask))
"""


GIVEN = """

class Residual(nn.Module):
    def __init__(self, size, dropout):
        super().__init__()
        self.norm, self.dropout = nn.LayerNorm(size), nn.Dropout(dropout)

    def forward(self, x, sublayer):
        return x + self.dropout(sublayer(self.norm(x)))

class GivenItsParts(nn.Module):
    def __init__(self, size, self_attn, src_attn, feed_forward, dropout):
        super().__init__()
        self.self_attn, self.src_attn, self.feed_forward = self_attn, src_attn, feed_forward
        self.steps = nn.ModuleList([Residual(size, dropout) for _ in range(3)])

    def forward(self, x, memory, src_mask, tgt_mask):
        x = self.steps[0](x, lambda x: self.self_attn(x, x, x, tgt_mask))
        x = self.steps[1](x, lambda x: self.src_attn(x, memory, memory, MASK))
        return self.steps[2](x, self.feed_forward)
"""


@pytest.mark.parametrize("mask", ["src_mask", "tgt_mask"])
def test_a_layer_that_is_given_its_attentions_is_followed_too(tmp_path: Path, mask: str) -> None:
    (tmp_path / "model.py").write_text(ATTENTION + GIVEN.replace("MASK", mask))
    subject = understand(str(tmp_path / "model.py"), ("float64",))
    assert "GivenItsParts, but for which attention is given which mask" in subject.not_judged
    wrong = "GivenItsParts: it hands tgt_mask to src_attn, which attends to memory, and src_mask to no attention that does"
    assert subject.wrong_masks == (wrong if mask == "tgt_mask" else "")


TORCH = """
import torch
from torch import nn

class Layer(nn.Module):
    def __init__(self, d_model, nhead):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(d_model, nhead, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(d_model, nhead, batch_first=True)

    def forward(
        self, tgt, memory, tgt_mask=None, memory_mask=None, tgt_key_padding_mask=None, memory_key_padding_mask=None
    ):
        tgt = tgt + self.self_attn(tgt, tgt, tgt, attn_mask=tgt_mask, key_padding_mask=tgt_key_padding_mask)[0]
        return tgt + self.multihead_attn(tgt, memory, memory, attn_mask=memory_mask, key_padding_mask=PADDING)[0]
"""


@pytest.mark.parametrize("padding", ["memory_key_padding_mask", "tgt_key_padding_mask"])
def test_padding_of_one_sequence_next_to_a_mask_is_followed_too(tmp_path: Path, padding: str) -> None:
    (tmp_path / "model.py").write_text(TORCH.replace("PADDING", padding))
    contract = {"mask": "blocked", "fully_masked_row": "nan", "reason": "as torch does"}
    spec = f"{tmp_path / 'model.py'}:Layer.self_attn"
    subject = understand(Request.of(spec, dtypes=("float64",), contract=contract))
    wrong = "multihead_attn, which attends to memory, and memory_key_padding_mask to no attention that does"
    assert subject.layers_with_masks
    assert subject.wrong_masks.endswith(wrong) if padding.startswith("tgt") else not subject.wrong_masks


def test_a_mask_of_a_source_is_right_in_an_encoder(tmp_path: Path) -> None:
    subject = understand(layer(tmp_path, "tgt_mask", "memory_mask", more=ENCODER), ("float64",))
    assert (subject.layers_with_masks, subject.wrong_masks) == (("DecoderLayer",), "")


def test_whose_a_mask_is_is_known_by_its_name() -> None:
    named = masks_of_layer(["tgt_mask", "memory_mask", "tgt_key_padding_mask", "memory_key_padding_mask"], "tgt", "memory")
    assert (named.own, named.other) == (("tgt_mask", "tgt_key_padding_mask"), ("memory_mask", "memory_key_padding_mask"))
    assert masks_of_layer(["y_mask", "src_mask"], "y", "z").own == ("y_mask",)
    turned = masks_of_layer(["src_mask", "tgt_mask"], "src", "tgt")  # the sequences are not those that they seem to be
    assert (turned.own, turned.other) == ((), ())
    assert own_and_other("src", "tgt") == ("tgt", "src")
    assert own_and_other("x", "target") == ("x", "target")  # that may be what is attended to
    assert masks_of_layer(["attention_mask", "head_mask"], "x", "encoder_states").all == ("attention_mask",)


class Attention(Layers):
    def forward(self, q: Any, k: Any, v: Any, mask: Any = None) -> Any:
        return self.attend(q, k, v, None if mask is None else ~mask)


class MaskOfTheOtherSequence(nn.Module):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        self.own, self.cross = Attention(num_heads, d_model), Attention(num_heads, d_model)

    def forward(self, x: Any, memory: Any, tgt_mask: Any = None, memory_mask: Any = None) -> Any:
        x = x + self.own(x, x, x, tgt_mask)
        return x + self.cross(x, memory, memory, tgt_mask)
