"""Functions that are given their weights: each is read as a module that has them as parameters."""

from __future__ import annotations

from pathlib import Path

import pytest

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from mhsa.subject.forms.given_weights import weights_among

FEW = ("oracle.output_without_mask", "oracle.output_under_masks")

PACKED = """
import torch
import torch.nn.functional as F

def multi_head(x, w_qkv, b_qkv, w_out, n_heads, mask=None):
    q, k, v = F.linear(x, w_qkv, b_qkv).chunk(3, -1)
    q, k, v = (t.unflatten(-1, (n_heads, -1)).transpose(1, 2) for t in (q, k, v))
    scores = q @ k.mT / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None], -1e9)
    return F.linear((torch.softmax(scores, -1) @ v).transpose(1, 2).flatten(2), w_out)
"""
APART = """
def softmax(x):
    e = (x - x.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)

def core(q, k, v):
    return softmax(q @ k.mT / q.size(-1) ** 0.5) @ v

def attention(query, key, value, Wq, Wk, Wv, num_heads, Wo=None):
    def split(x):
        return x.view(*x.shape[:2], num_heads, -1).transpose(1, 2)
    z = core(split(query @ Wq), split(key @ Wk), split(value @ Wv)).transpose(1, 2).reshape(query.shape)
    return z if Wo is None else z @ Wo
"""
ONE_SAMPLE = """
import torch

def self_attention(tokens, q_weight, k_weight, v_weight, o_weight, num_heads):
    size = tokens.size(1) // num_heads
    q, k, v = tokens @ q_weight, tokens @ k_weight, tokens @ v_weight
    heads = []
    for h in range(num_heads):
        at = slice(h * size, (h + 1) * size)
        weights = torch.softmax(q[:, at] @ k[:, at].T / size ** 0.5, dim=1)
        heads.append(weights @ v[:, at])
    return torch.cat(heads, 1) @ o_weight
"""
PER_HEAD = """
import torch

def attend(q, k, v, wq, wk, wv, wo):
    q, k, v = (torch.einsum("btd,hdf->bhtf", x, w) for x, w in ((q, wq), (k, wk), (v, wv)))
    weights = torch.softmax(q @ k.mT / wq.size(2) ** 0.5, -1)
    return torch.einsum("bhtf,hfd->btd", weights @ v, wo)
"""
ARRAYS = """
import numpy as np

def attention(x, w_q, w_k, w_v):
    q, k, v = np.dot(x, w_q), np.dot(x, w_k), np.dot(x, w_v)
    s = np.matmul(q, np.swapaxes(k, -1, -2)) / np.sqrt(q.shape[-1])
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return np.matmul(e / e.sum(axis=-1, keepdims=True), v)
"""


def _file(folder: Path, text: str) -> str:
    path = folder / "attention.py"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "changed", "into"),
    [
        (PACKED, "q.size(-1) ** 0.5", "x.size(-1) ** 0.5"),
        (PACKED, ".transpose(1, 2).flatten(2), w_out", ".reshape(x.shape), w_out"),
        (PACKED, "scores = scores.masked", "scores.masked"),
        (APART, "split(key @ Wk)", "split(value @ Wk)"),
        (APART, "amax(-1, keepdim=True)).exp()", "amax(-1, keepdim=True)).exp().mT"),
        (ONE_SAMPLE, "dim=1)\n", "dim=0)\n"),
        (PER_HEAD, "wq.size(2)", "wq.size(1)"),
    ],
)
def test_right_ones_hold_and_wrong_ones_do_not(text: str, changed: str, into: str, tmp_path: Path) -> None:
    for name in ("right", "wrong"):
        (tmp_path / name).mkdir()
    assert changed in text
    assert verify(_file(tmp_path / "right", text), dtypes="float64", properties=FEW)
    assert not verify(_file(tmp_path / "wrong", text.replace(changed, into)), dtypes="float64", properties=FEW)


def test_what_is_read_is_said(tmp_path: Path) -> None:
    subject = understand(_file(tmp_path, APART))
    assert any("Wq, Wk, Wv, Wo are parameters of a module" in part.text for part in subject.understood)
    assert "calls without Wo" in subject.not_judged


def test_a_function_that_takes_one_sample_is_called_once_for_each(tmp_path: Path) -> None:
    assert any("once for each sample" in part.text for part in understand(_file(tmp_path, ONE_SAMPLE)).understood)


def test_arrays_of_numpy_are_a_question_next_to_torch(tmp_path: Path) -> None:
    with pytest.raises(Question, match="attention takes arrays of NumPy"):
        understand(_file(tmp_path, "import torch\n" + ARRAYS))


@pytest.mark.parametrize(("changed", "into"), [("np.dot(x, w_v)", "np.dot(x, w_k)"), ("e.sum(axis=-1", "e.sum(axis=-2")])
def test_functions_of_arrays_are_judged(changed: str, into: str, tmp_path: Path) -> None:
    found = verify(_file(tmp_path, ARRAYS), dtypes="float64", properties=FEW)
    assert found, str(found)
    assert "gradients, which NumPy has not" in found.not_judged
    (tmp_path / "wrong").mkdir()
    wrong = _file(tmp_path / "wrong", ARRAYS.replace(changed, into))
    assert verify(wrong, dtypes="float64", properties=FEW).verdict == "violated"


APART_FROM_ITS_MAPS = """
import numpy as np

def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)

def project(X, W_q, W_k, W_v):
    return X @ W_q, X @ W_k, X @ W_v

def attention(Q, K, V):
    return softmax(Q @ K.T / np.sqrt(Q.shape[1])) @ V

def multi_head_attention(Q, K, V, n_heads):
    d = Q.shape[1] // n_heads
    return np.concatenate([attention(*(x[:, h * d : (h + 1) * d] for x in (Q, K, V))) for h in range(n_heads)], axis=1)
"""


def test_a_function_that_projects_is_no_attention_and_the_outermost_is(tmp_path: Path) -> None:
    path = _file(tmp_path, APART_FROM_ITS_MAPS)
    assert understand(path).understood[0].text.startswith("multi_head_attention; the file also has")
    assert verify(path, dtypes="float64", properties=FEW)


def test_names_of_weights() -> None:
    def packed(x, in_proj_weight, in_proj_bias, out_proj_weight, num_heads): ...  # type: ignore[no-untyped-def]
    def glued(x, Wq, wk, W_V, WO): ...  # type: ignore[no-untyped-def]
    def plain(query, key, value, mask=None, weights=None, bias=None): ...  # type: ignore[no-untyped-def]
    def windows(q, k, v, window, block_size, q_scale): ...  # type: ignore[no-untyped-def]

    assert weights_among(packed) == {"in_proj_weight": "qkv", "in_proj_bias": "qkv", "out_proj_weight": "o"}
    assert weights_among(glued) == {"Wq": "q", "wk": "k", "W_V": "v", "WO": "o"}
    assert weights_among(plain) == weights_among(windows) == {}


OF_HEADS = """
def attention(query, key, value, num_heads, mask=None):
    def split(x):
        return x.view(x.size(0), QUERIES, num_heads, x.size(2) // num_heads).transpose(1, 2)
    q, (k, v) = split(query), (t.unflatten(2, (num_heads, -1)).transpose(1, 2) for t in (key, value))
    scores = q @ k.mT / (query.size(2) // num_heads) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None], -1e9)
    return (scores.softmax(-1) @ v).transpose(1, 2).reshape(query.shape)
"""


CHANNELS_FIRST = """
def attention(q, k, v, num_heads=8):
    q, k, v = (x.view(x.size(0), num_heads, -1, x.size(2)) for x in (q, k, v))  # [B, H, d, T]
    weights = (q.mT @ k / q.size(2) ** 0.5).softmax(-1)
    return (v @ weights.mT).flatten(1, 2)
"""


def test_its_tokens_may_be_last(tmp_path: Path) -> None:
    path = _file(tmp_path, CHANNELS_FIRST)
    assert understand(path).contract.layout == "BDT"
    found = verify(path, dtypes="float64", properties=FEW)
    assert found, str(found)
    (tmp_path / "wrong").mkdir()
    wrong = _file(tmp_path / "wrong", CHANNELS_FIRST.replace("weights.mT).flatten", "weights.mT).transpose(1, 2).flatten"))
    assert verify(wrong, dtypes="float64", properties=FEW).verdict == "violated"


@pytest.mark.parametrize("queries", ["-1", "1"])
def test_a_function_on_tokens_that_is_given_its_number_of_heads(queries: str, tmp_path: Path) -> None:
    """Of any number of queries, or of one."""
    path = _file(tmp_path, OF_HEADS.replace("QUERIES", queries))
    subject = understand(path)
    assert any("is given its number of heads, num_heads, and has no maps" in part.text for part in subject.understood)
    assert verify(path, dtypes="float64", properties=FEW)
    (tmp_path / "wrong").mkdir()
    wrong = _file(
        tmp_path / "wrong", OF_HEADS.replace("QUERIES", queries).replace("(query.size(2) // num_heads)", "query.size(2)")
    )
    assert verify(wrong, dtypes="float64", properties=FEW).verdict == "violated"
