"""Attention with a norm, a residual or a whole block around it: what is inside is judged, and the rest is named."""

import threading
from pathlib import Path

import pytest
import torch
from torch import nn

import mhsa
from mhsa.introspect.resolve import understand
from mhsa.judge.inline import judge_inline
from mhsa.judge.script.recorded_calls import Recorder
from mhsa.judge.script.standalone_script import write_script
from mhsa.records.case import Case
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject import check
from mhsa.subject.trial import Trial

FEW = ("oracle.output_*", "gradients.gradients_of_p*", "construction.*", "heads.each_head_alone", "copies.pickled_copies")


class Attention(nn.Module):
    """The usual one, which a subclass surrounds; a wrong twin has no scale."""

    scaled = True

    def __init__(self, num_heads, d_model, dropout=0.0):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("no multiple")
        self.num_heads, self.d_model = num_heads, d_model
        self.q, self.k, self.v, self.fc = (nn.Linear(d_model, d_model) for _ in range(4))
        self.dropout = nn.Dropout(dropout)
        self.surround(d_model)

    def surround(self, d_model):
        pass

    def attend(self, query, key, value, mask=None):
        parts = ((self.q, query), (self.k, key), (self.v, value))
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in parts)
        scores = q @ k.mT / (q.size(-1) ** 0.5 if self.scaled else 1.0)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], -1e9)
        weights = scores.softmax(-1)
        return self.fc((self.dropout(weights) @ v).transpose(1, 2).flatten(2)), weights

    def forward(self, query, key, value, mask=None):
        return self.attend(query, key, value, mask)[0]


class NormAfter(Attention):
    def surround(self, d_model):
        self.layer_norm = nn.LayerNorm(d_model, eps=1e-6)

    def forward(self, q, k, v, mask=None):
        output, weights = self.attend(q, k, v, mask)
        output += q
        return self.layer_norm(output), weights


class NormBefore(Attention):
    def surround(self, d_model):
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x, mask=None):
        x = self.norm(x)
        return self.attend(x, x, x, mask)[0]


class NormBeforeAndResidual(NormBefore):
    def forward(self, x, mask=None):
        return x + super().forward(x, mask)


class Block(nn.Module):
    part = Attention

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.attn = self.part(num_heads, d_model)
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.linear1, self.linear2 = nn.Linear(d_model, 2 * d_model), nn.Linear(2 * d_model, d_model)

    def forward(self, x, mask=None):
        x = self.norm1(x + self.attn(x, x, x, mask))
        return self.norm2(x + self.linear2(self.linear1(x).relu()))


class Residual(Attention):
    def forward(self, x, mask=None):
        return x + self.attend(x, x, x, mask)[0]


class NormAfterUnscaled(NormAfter):
    scaled = False


class NormBeforeUnscaled(NormBefore):
    scaled = False


class NormBeforeAndResidualUnscaled(NormBeforeAndResidual):
    scaled = False


class Unscaled(Attention):
    scaled = False


class BlockUnscaled(Block):
    part = Unscaled


class ResidualUnscaled(Residual):
    scaled = False


KINDS = {
    "NormAfter": ("the residual that is added to it and LayerNorm after that", ("residual", "LayerNorm")),
    "NormBefore": ("LayerNorm before the attention", ("LayerNorm",)),
    "NormBeforeAndResidual": ("LayerNorm before the attention, the residual that is added to it", ("LayerNorm", "residual")),
    "Block": ("the feed-forward and all else that comes after the attention", ("block around the attention",)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_attention_inside_is_judged_and_the_rest_is_named(kind: str) -> None:
    words, parts = KINDS[kind]
    found = mhsa.verify(globals()[kind], dtypes="float64", properties=FEW)
    assert found, str(found)
    assert f"left out: {words}" in str(found)
    subject = understand(f"{__file__}:{kind}")
    assert subject.not_judged[-len(parts) :] == parts
    assert [u.declaration for u in subject.understood if u.part == "surroundings"] == [{"layer": subject.layer}]


@pytest.mark.parametrize("kind", [*KINDS, "Residual"])
def test_a_bug_inside_is_found(kind: str) -> None:
    request = Request("m", f"{__file__}:{kind}Unscaled", dtypes=("float64",))
    with pytest.raises(pytest.fail.Exception, match="but must be"):
        judge_inline(request, "oracle.output_without_mask", strict=False)


def test_a_residual_alone_is_asked_about() -> None:
    with pytest.raises(Question, match="exactly right but for the residual") as raised:
        understand(f"{__file__}:Residual")
    assert raised.value.declaration == {"layer": "x + attention(x)"}
    few = {"dtypes": "float64", "properties": "oracle.output_*"}
    assert mhsa.verify(Residual, contract=raised.value.declaration, **few)
    assert mhsa.verify(Residual, contract={"surroundings": "none"}, **few).verdict == "violated"


def test_a_script_shows_the_bug_inside(tmp_path: Path) -> None:
    request = Request("m", f"{__file__}:NormAfterUnscaled", dtypes=("float64",))
    subject = understand(request)
    case = Case("float64", 1, 2, 3, 4, 3, data="normal")
    with check.recording() as record:
        record.recorder = Recorder()
        trial = Trial(subject, case)
        answer = trial()
        with pytest.raises(check.Violation):
            check.within("output", answer.output, answer.expected.output)
    write_script(tmp_path / "s.py", request, subject, "oracle.output_without_mask", "a law.", "off", record.recorder.calls)
    script = (tmp_path / "s.py").read_text()
    assert "Needs torch, the subject and mhsa, to leave out what is around the attention." in " ".join(script.split())
    with pytest.raises(AssertionError, match="output is off by up to"):
        exec(compile(script, "s.py", "exec"), {})


def test_each_thread_is_given_its_own_output() -> None:
    subject = understand(f"{__file__}:NormAfter")
    module = subject.adapter.build(2, 6).eval()
    inputs = [torch.full((1, 3, 6), float(n)) for n in range(8)]
    alone = [subject.caller(module, x, x, x, None)[0] for x in inputs]
    together: dict[int, torch.Tensor] = {}

    def work(n: int) -> None:
        for _ in range(20):
            together[n] = subject.caller(module, inputs[n], inputs[n], inputs[n], None)[0]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(alone[n], together[n]) for n in range(8))


class NoMapForOneHead(nn.Module):
    """Where one head is as wide as the module there is no out projection, as in many vision transformers."""

    scale = 0.5

    def __init__(self, dim: int, heads: int = 8, dim_head: int = 64) -> None:
        super().__init__()
        inner = heads * dim_head
        self.heads, self.power = heads, self.scale
        self.norm = nn.LayerNorm(dim)
        self.to_qkv = nn.Linear(dim, 3 * inner, bias=False)
        whole = heads == 1 and dim_head == dim
        self.to_out = nn.Identity() if whole else nn.Sequential(nn.Linear(inner, dim), nn.Dropout(0.0))

    def forward(self, x):
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in self.to_qkv(self.norm(x)).chunk(3, dim=-1))
        weights = (q @ k.mT / k.size(-1) ** self.power).softmax(-1)
        return self.to_out((weights @ v).transpose(1, 2).flatten(2))


class NoMapForOneHeadUnscaled(NoMapForOneHead):
    scale = 0.0


def test_one_head_may_have_no_out_projection() -> None:
    assert mhsa.verify(NoMapForOneHead, dtypes="float64", properties=FEW)
    assert not mhsa.verify(NoMapForOneHeadUnscaled, dtypes="float64", properties=FEW)


class OnPictures(Attention):
    """The pixels of [B, C, H, W] are the tokens; the norm and the residual are of the picture."""

    def surround(self, d_model):
        self.norm = nn.GroupNorm(1, d_model)

    def forward(self, x):
        flat = self.norm(x).flatten(2).transpose(1, 2)
        return x + self.attend(flat, flat, flat)[0].transpose(1, 2).reshape(x.shape)


class OnFlatPictures(Attention):
    """The same with a convolution behind the attention, which gives [B, C, H * W]."""

    def surround(self, d_model):
        self.norm = nn.GroupNorm(1, d_model)
        self.fc = nn.Identity()
        self.proj_out = nn.Conv1d(d_model, d_model, 1)

    def forward(self, x):
        flat = self.norm(x.flatten(2)).transpose(1, 2)
        inner = self.attend(flat, flat, flat)[0].transpose(1, 2)
        return (x.flatten(2) + self.proj_out(inner)).reshape(x.shape)


@pytest.mark.parametrize("kind", [OnPictures, OnFlatPictures])
def test_tokens_inside_of_a_module_of_pictures_are_read(kind):
    found = mhsa.verify(kind, dtypes="float64", properties="oracle.output_*")
    assert found, str(found)
    assert "GroupNorm before the attention, the residual that is added to it" in str(found)
    wrong = type("Unscaled", (kind,), {"scaled": False})
    assert mhsa.verify(wrong, dtypes="float64", properties="oracle.output_*").verdict == "violated"
