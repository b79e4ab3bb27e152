"""What is declared for a file with several attentions: it must apply to one of them, and is left out in the others."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mhsa.commands.cli import main
from mhsa.records.request import Request
from mhsa.records.results import PropertyResult, SubjectResult
from mhsa.run.child import Child

LAYER = """
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, width, num_heads, causal=False):
        super().__init__()
        assert width % num_heads == 0
        self.num_heads, self.later = num_heads, causal
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x, y, mask=None):
        q, k, v = (f(z).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, z in ((self.q, x), (self.k, y), (self.v, y)))
        scores = q @ k.mT / q.size(-1) ** 0.5
        if self.later:
            scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), float("-inf"))
        if mask is not None:
            scores = scores SIGN mask
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self, width, num_heads):
        super().__init__()
        self.self_attn = Attention(width, num_heads, causal=FIRST)
        self.cross_attn = Attention(width, num_heads, causal=SECOND)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x, memory, memory_mask=None):
        a = self.norm1(x + self.self_attn(x, x))
        return self.norm2(a + self.cross_attn(a, memory, memory_mask))
"""
NAN = ["--contract", "fully_masked_row=nan", "--contract", "reason=softmax of -inf alone"]
ADDITIVE = ["--contract", "mask=additive", *NAN]


def verified(sign: str, first: bool, second: bool, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """Return exit code and subjects of a layer whose cross-attention combines its mask with this sign."""
    source = LAYER.replace("SIGN", sign).replace("FIRST", str(first)).replace("SECOND", str(second))
    Path("layer.py").write_text(source)
    chosen = ["--no-diagnosis", "-k", "oracle.output_without_mask or output_under_masks", "--json", "out.json"]
    code = main(["verify", "layer.py:Layer", *chosen, *words])
    subjects: list[dict[str, Any]] = json.loads(Path("out.json").read_text())["subjects"]
    assert [s["label"] for s in subjects] == ["layer.py:Layer.self_attn", "layer.py:Layer.cross_attn"]
    return code, subjects


@pytest.mark.parametrize(("sign", "code", "verdict"), [("+", 0, "holds"), ("-", 1, "violated")])
def test_a_mask_is_declared_where_one_of_two_attentions_takes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign: str, code: int, verdict: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found, (first, second) = verified(sign, False, False, *ADDITIVE)
    assert (found, first["verdict"], second["verdict"]) == (code, "holds", verdict)
    assert 'mask = "additive" is left out: it applies to nothing here, but to layer.py:Layer.cross_attn' in str(
        first["reading"]
    )
    assert "left out" not in str(second["reading"])


def test_causality_that_one_of_two_has_not_is_a_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, (first, second) = verified("+", True, False, *ADDITIVE, "--contract", "causal=top-left")
    assert (code, first["verdict"], second["verdict"]) == (2, "holds", "question")
    *_, one, last = second["reason"].splitlines()
    assert one.startswith("mhsa verify layer.py:Layer.self_attn --contract")
    assert one.endswith("causal=top-left")
    assert last.startswith("mhsa verify layer.py:Layer.cross_attn --contract mask=additive")
    assert "causal" not in last


Judged = Callable[[Request, SubjectResult], None]


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Judged]:
    """What comes of each class: a file x.py means its classes A and B; the one function in the list says what they give."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    Path("x.py").touch()
    each: list[Judged] = []

    def run(child: Child) -> Iterator[None]:
        for n, (request, result) in enumerate(zip(child.requests, child.results, strict=True), 1):
            if request.spec.endswith(".py"):
                result.question, result.reason, result.means = True, "several", [f"{request.spec}:{x}" for x in "AB"]
                continue
            each[0](request, result)
            if not result.reason:
                child.add(n, PropertyResult("oracle.output_without_mask", "pass", cases=1))
        child.finished = True
        yield

    monkeypatch.setattr(Child, "run", run)
    return each


def unused(name: str, result: SubjectResult) -> None:
    """Have a field apply to nothing."""
    result.question, result.reason, result.unused = True, f"{name} applies to nothing", name


def verify(*words: str) -> tuple[int, list[dict[str, Any]]]:
    """Return exit code and subjects of x.py."""
    code = main(["verify", "x.py", "--no-diagnosis", "--json", "out.json", *words])
    return code, json.loads(Path("out.json").read_text())["subjects"]


def test_what_applies_to_none_stays_a_question(judged: list[Judged]) -> None:
    def each(request: Request, result: SubjectResult) -> None:
        if "mask" in request.contract and request.label == "x.py:A":
            unused("contract.mask", result)
        elif "lse" in request.contract:  # which A says only after its mask
            unused("contract.lse", result)

    judged.append(each)
    code, (a, b) = verify("--contract", "mask=additive", "--contract", "lse=natural")
    assert (code, a["reason"], b["reason"]) == (2, "contract.lse applies to nothing", "contract.lse applies to nothing")
    code, (a, b) = verify("--contract", "mask=additive")
    assert (code, a["verdict"], b["verdict"]) == (0, "holds", "holds")


def test_an_argument_that_one_class_takes_is_left_out_in_the_other(judged: list[Judged]) -> None:
    def each(request: Request, result: SubjectResult) -> None:
        if "bias" in request.arguments and request.label == "x.py:B":
            unused("arguments.bias", result)

    judged.append(each)
    code, (a, b) = verify("--argument", "bias=true")
    assert (code, a["verdict"], b["verdict"]) == (0, "holds", "holds")
    assert "bias = true is left out: it applies to nothing here, but to x.py:A" in str(b["understood"])


@pytest.mark.parametrize("also", ["", "x.py:A"])
def test_what_fails_without_the_declaration_too_is_violated(judged: list[Judged], also: str) -> None:
    """So is each of two of which none holds under it: one of them must be meant."""

    def each(request: Request, result: SubjectResult) -> None:
        if request.label == "x.py:B" or (request.label == also and "causal" in request.contract):
            result.properties.append(PropertyResult("oracle.output_without_mask", "fail", cases=1))

    judged.append(each)
    code, (a, b) = verify("--contract", "causal=top-left")
    assert (code, a["verdict"], b["verdict"]) == (1, "violated" if also else "holds", "violated")
