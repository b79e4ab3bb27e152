"""Functions of NumPy on heads, and functions on one head alone, [T, d]: called so, right and wrong."""

from pathlib import Path

import pytest

from mhsa.introspect.questions import load_under
from mhsa.introspect.readings.fit import fits
from mhsa.judge.verification import verify
from mhsa.records.request import Request
from mhsa.records.understood import pinned
from mhsa.subject.subject import Subject

NUMPY = """
import numpy as np


def softmax(scores, axis):
    e = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def attention(q, k, v, mask=None):
    scores = q @ TURNED / np.sqrt(k.shape[-1])
    if mask is not None:
        scores = np.where(mask, scores, -1e9)
    w = softmax(scores, AXIS)
    return w @ v, w
"""
TORCH = """
import torch


def attention(query, key, value):
    rows = [torch.softmax(key.mv(q) * SCALE, 0) for q in query]
    return torch.stack(rows).mm(value)
"""
ONE, MANY = "k.T", "np.swapaxes(k, -1, -2)"


def written(folder: Path, source: str, **words: str) -> str:
    for word, text in words.items():
        source = source.replace(word, text)
    path = folder / f"f{abs(hash(source))}.py"
    path.write_text(source)
    return str(path)


@pytest.mark.parametrize("turned", [ONE, MANY])
def test_functions_of_numpy_are_called_with_arrays(tmp_path: Path, turned: str) -> None:
    path = written(tmp_path, NUMPY, TURNED=turned, AXIS="-1")
    some = ["oracle.*", "masks.*", "gradients.gradients_of_inputs"]
    found = verify(path, dtypes="float64", properties=some)
    assert found, str(found)
    assert tuple(found.not_judged) == ("gradients, which NumPy has not",)
    wrong = written(tmp_path, NUMPY, TURNED=turned, AXIS="-2")
    assert verify(wrong, dtypes="float64", properties="oracle.*").verdict == "violated"


def test_a_function_of_one_head_is_given_each_alone(tmp_path: Path) -> None:
    path = written(tmp_path, TORCH, SCALE="query.size(-1) ** -0.5")
    found = verify(path, dtypes="float64", properties=["oracle.*", "gradients.gradients_of_inputs"])
    assert found, str(found)
    wrong = written(tmp_path, TORCH, SCALE="key.size(0) ** -0.5")
    assert verify(wrong, dtypes="float64", properties="oracle.*").verdict == "violated"


@pytest.mark.parametrize(
    ("source", "words"), [(TORCH, {"SCALE": "key.size(-1) ** -0.5"}), (NUMPY, {"TURNED": ONE, "AXIS": "-1"})]
)
def test_it_is_read_so_under_its_own_pins(tmp_path: Path, source: str, words: dict[str, str]) -> None:
    request = Request.of(written(tmp_path, source, **words), dtypes=("float64",))
    subject = load_under(request).subject
    assert isinstance(subject, Subject)
    assert "takes one head of one sample, [T, d]: each is given alone" in dict(subject.notes)["call"]
    again = load_under(request.under(pinned(subject.understood)))
    assert again.question is None
    assert isinstance(again.subject, Subject)
    assert fits(again.subject)
