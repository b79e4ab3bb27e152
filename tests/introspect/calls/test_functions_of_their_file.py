"""Functions on tokens whose file has their sizes, and functions of one tensor that attends to itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question, SubjectError

FEW = ("oracle.output_without_mask",)

SIZED = """
import torch

HEADS = 3

def split(x):
    return x.unflatten(2, (HEADS, -1)).transpose(1, 2)

def attend(tokens, w_q, w_k, w_v, w_o):
    q, k, v = (split(tokens @ w) for w in (w_q, w_k, w_v))
    weights = torch.softmax(q @ k.mT / q.size(3) ** 0.5, -1)
    return (weights @ v).transpose(1, 2).flatten(2) @ w_o
"""
WIDE = """
import torch

N_EMBD = 12
SCALE = N_EMBD ** -0.5

def attend(tokens, w_q, w_k, w_v):
    weights = (tokens @ w_q @ (tokens @ w_k).mT / N_EMBD ** 0.5).softmax(-1)
    return weights @ (tokens @ w_v)
"""
ALONE = """
import numpy as np

def normalised(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)

def plain_attention(batch):
    return normalised(batch @ batch.swapaxes(1, 2)) @ batch
"""


def _file(folder: Path, text: str) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / "attention.py"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "changed", "into"),
    [
        (SIZED, "(HEADS, -1)).transpose(1, 2)", "(-1, HEADS)).permute(0, 3, 1, 2)"),
        (SIZED, "return x.unflatten(2, (HEADS, -1)).transpose(1, 2)", "return x.view(x.size(0), HEADS, x.size(1), -1)"),
        (WIDE, "N_EMBD ** 0.5", "N_EMBD"),
    ],
)
def test_sizes_that_stand_in_the_file(text: str, changed: str, into: str, tmp_path: Path) -> None:
    path = _file(tmp_path / "right", text)
    assert verify(path, dtypes="float64", properties=FEW)
    assert changed in text
    wrong = verify(_file(tmp_path / "wrong", text.replace(changed, into)), dtypes="float64", properties=FEW)
    assert wrong.verdict != "holds"


def test_the_sizes_are_said_and_kept(tmp_path: Path) -> None:
    subject = understand(_file(tmp_path, SIZED))
    assert any("its file says its sizes, HEADS = 3" in part.text for part in subject.understood)
    assert subject.adapter.sizes == (3, 15)
    assert understand(_file(tmp_path / "wide", WIDE)).adapter.sizes == (1, 12)


def test_sizes_that_clash_are_not_taken(tmp_path: Path) -> None:
    with pytest.raises(SubjectError, match="every call raises"):
        understand(
            _file(tmp_path, SIZED.replace("HEADS = 3", "HEADS = 3\nD_MODEL = 16").replace("(HEADS", "(HEADS * D_MODEL // 16"))
        )


def test_one_tensor_is_query_key_and_value(tmp_path: Path) -> None:
    path = _file(tmp_path, ALONE)
    with pytest.raises(Question) as asked:
        understand(path)
    assert asked.value.declaration == {"scale": 1.0}
    assert verify(path, dtypes="float64", contract={"scale": 1.0}, properties=FEW)
    wrong = _file(
        tmp_path / "wrong",
        ALONE.replace("normalised(batch @ batch.swapaxes(1, 2))", "normalised(batch @ batch.swapaxes(1, 2)).swapaxes(1, 2)"),
    )
    assert verify(wrong, dtypes="float64", contract={"scale": 1.0}, properties=FEW).verdict == "violated"


def test_one_tensor_with_the_usual_scale_holds(tmp_path: Path) -> None:
    path = _file(tmp_path, ALONE.replace("batch.swapaxes(1, 2))", "batch.swapaxes(1, 2) / batch.shape[2] ** 0.5)"))
    assert verify(path, dtypes="float64", properties=FEW)


@pytest.mark.parametrize(
    "body",
    [
        "return normalised(batch.swapaxes(1, 2) @ batch) @ batch.swapaxes(1, 2)",  # of other axes
        "return batch * normalised(batch.mean(1, keepdims=True))",  # of channels
        "return normalised(batch)",
    ],
)
def test_what_is_no_such_attention_is_not_judged(body: str, tmp_path: Path) -> None:
    text = ALONE.replace("return normalised(batch @ batch.swapaxes(1, 2)) @ batch", body)
    with pytest.raises(SubjectError, match="has no parameter that is known"):
        understand(_file(tmp_path, text) + ":plain_attention")
