"""Classes that compute with NumPy are modules that hold their arrays: everything but gradients is judged."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mhsa.bugs.diagnosis.match import compare
from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question, SubjectError
from mhsa.subject.forms.numpy_class import OfNumpy, differentiated, of_numpy

ONE_SAMPLE = """
import numpy as np


def softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


class Head:
    def __init__(self, width, d_k):
        self.W_Q, self.W_K, self.W_V = (np.random.randn(width, d_k) * 0.1 for _ in range(3))

    def forward(self, X):
        Q, K, V = X @ self.W_Q, X @ self.W_K, X @ self.W_V
        return softmax(Q @ K.T / np.sqrt(K.shape[1]), AXIS) @ V


class MultiHeadAttention:
    def __init__(self, embed_dim, num_heads):
        assert embed_dim % num_heads == 0
        self.heads = [Head(embed_dim, embed_dim // num_heads) for _ in range(num_heads)]
        self.W_O = np.random.randn(embed_dim, embed_dim)

    def forward(self, X):
        return np.concatenate([head.forward(X) for head in HEADS], axis=-1) @ self.W_O
"""
BATCHED = """
import numpy as np


class MultiHeadAttention:
    def __init__(self, d_model, num_heads=4, dropout=0.1):
        if d_model % num_heads:
            raise ValueError("no multiple")
        self.num_heads, self.dropout, self.last = num_heads, dropout, None
        for name in ("W_q", "W_k", "W_v", "W_o"):
            setattr(self, name, np.random.randn(d_model, d_model).astype(np.float32))
        self.b_v = np.zeros(d_model)

    def split(self, x):
        return x.reshape(*x.shape[:2], self.num_heads, -1).transpose(0, 2, 1, 3)

    def __call__(self, query, key, value, mask=None):
        q, k, v = (self.split(x @ w) for x, w in ((query, self.W_q), (key, self.W_k), (value, self.W_v)))
        v = v + self.split(np.broadcast_to(self.b_v, value.shape))
        s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        if mask is not None:
            s = np.where(mask[:, None], s, -np.inf)
        with np.errstate(all="ignore"):
            e = np.exp(s - s.max(-1, keepdims=True))
            a = np.nan_to_num(e / e.sum(-1, keepdims=True))
        if self.dropout > 0:
            a = a * (np.random.rand(*a.shape) > self.dropout) / (1 - self.dropout)
        KEPT
        return (a @ v).transpose(0, 2, 1, 3).reshape(query.shape) @ self.W_o, a
"""
SOME = ["oracle.*", "gradients.*", "purity.*", "copies.*", "masks.*", "weights.*", "dropout.*", "edges.*"]


def one_sample(folder: Path, name: str, axis: str = "-1", heads: str = "self.heads") -> str:
    (folder / f"{name}.py").write_text(ONE_SAMPLE.replace("AXIS", axis).replace("HEADS", heads))
    return str(folder / f"{name}.py")


def batched(folder: Path, name: str, kept: str = "pass") -> str:
    (folder / f"{name}.py").write_text(BATCHED.replace("KEPT", kept))
    return str(folder / f"{name}.py")


def test_a_class_of_one_sample_is_judged(tmp_path: Path) -> None:
    path = one_sample(tmp_path, "right")
    subject = understand(path)
    assert "heads.#.W_Q as [d_model, d_k]" in dict(subject.notes)["parameters"]
    found = verify(path, properties=SOME)
    assert found, str(found)
    assert tuple(found.not_judged) == ("gradients, which NumPy has not",)
    gradients = [p for p in found.properties if p.id.startswith("gradients.")]
    assert {p.outcome for p in gradients} == {"not-applicable"}
    assert any(p.reason == "needs gradients, and the subject computes with NumPy" for p in gradients)


@pytest.mark.parametrize(
    ("name", "axis", "heads"), [("axis", "0", "self.heads"), ("twice", "-1", "self.heads[:1] * len(self.heads)")]
)
def test_bugs_in_it_are_found(tmp_path: Path, name: str, axis: str, heads: str) -> None:
    assert verify(one_sample(tmp_path, name, axis, heads), dtypes="float64", properties="oracle.*").verdict == "violated"


def test_a_class_of_batches_is_judged_without_its_dropout(tmp_path: Path) -> None:
    path = batched(tmp_path, "batches")
    found = verify(path, properties=SOME)
    assert found, str(found)
    assert tuple(found.not_judged) == ("gradients, which NumPy has not", "constructor argument dropout")
    assert verify(f"{path}:MultiHeadAttention", dtypes="float64", properties="oracle.output_without_mask")


@pytest.mark.parametrize(
    ("code", "properties"),
    [
        pytest.param(
            "self.last = a if self.last is None or self.last.shape != a.shape else self.last; a = self.last",
            "purity.*", id="weights_kept",
        ),
        pytest.param("v = v if self.last is None else v + self.last; self.last = 1e-3", "purity.*", id="state_kept"),
        pytest.param("mask.fill(True) if mask is not None else None", "purity.*", id="mask_written"),
        pytest.param("v = v - self.b_v.mean()", "oracle.*", id="bias"),
    ],
)  # fmt: skip
def test_bugs_in_a_class_of_batches_are_found(tmp_path: Path, code: str, properties: str) -> None:
    assert verify(batched(tmp_path, "wrong", code), dtypes="float64", properties=properties).verdict == "violated"


def test_its_arrays_are_parameters_and_gradients_are_quotients(tmp_path: Path) -> None:
    kind = understand(batched(tmp_path, "arrays")).adapter.owner
    module = kind(4, num_heads=2).double()
    assert isinstance(module, OfNumpy)
    assert sorted(n for n, _ in module.named_parameters()) == ["W_k", "W_o", "W_q", "W_v", "b_v"]
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        module.b_v += 1
    output, weights = module(query=x, key=x, value=x)
    assert (output.shape, weights.shape, output.requires_grad) == ((2, 3, 4), (2, 2, 3, 3), False)
    with differentiated():
        module(query=x, key=x, value=x).sum().backward()
    must = np.broadcast_to(2 * 3 * module.W_o.detach().numpy().sum(1), 4)  # the weights of a row sum to one
    assert np.allclose(module.b_v.grad.numpy(), must)
    half = module.to(torch.bfloat16)(query=x.bfloat16(), key=x.bfloat16(), value=x.bfloat16())[0]
    assert half.dtype == torch.bfloat16


KEPT_APART = """
import numpy as np


class Attention:
    def __init__(self, dim, num_heads):
        assert dim % num_heads == 0
        self.num_heads = num_heads
        self.maps = MAPS

    def __call__(self, x):
        q, k, v = ((x @ self.maps[n]).reshape(*x.shape[:2], self.num_heads, -1).swapaxes(1, 2) for n in NAMES)
        s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        e = np.exp(s - s.max(-1, keepdims=True))
        return (e / e.sum(-1, keepdims=True) @ VALUES).swapaxes(1, 2).reshape(x.shape)
"""


def apart(folder: Path, name: str, maps: str, names: str, values: str = "v") -> str:
    path = folder / f"{name}.py"
    path.write_text(KEPT_APART.replace("MAPS", maps).replace("NAMES", names).replace("VALUES", values))
    return str(path)


def test_arrays_may_be_kept_in_a_dictionary(tmp_path: Path) -> None:
    by_name = '{n: np.random.randn(dim, dim) for n in ("wq", "wk", "wv")}', '("wq", "wk", "wv")'
    path = apart(tmp_path, "dictionary", *by_name)
    assert "query from maps.wq" in dict(understand(path).notes)["parameters"]
    found = verify(path, dtypes="float64", properties="oracle.*")
    assert found, str(found)
    turned = apart(tmp_path, "turned", *by_name, "v[::-1]")
    assert verify(turned, dtypes="float64", properties="oracle.*").verdict == "violated"


def test_one_array_in_several_places_is_one_parameter(tmp_path: Path) -> None:
    kept = "[np.random.randn(dim, dim) for _ in range(3)]; self.all = {'maps': (*self.maps,)}"
    kept += "; self.wq, self.wk, self.wv = self.maps"
    path = apart(tmp_path, "twice", kept, "range(3)")
    assert "query from wq" in dict(understand(path).notes)["parameters"]
    found = verify(path, dtypes="float64", properties=["oracle.*", "construction.*", "copies.parameters_changed_in_place"])
    assert found, str(found)
    turned = apart(tmp_path, "twice_turned", kept, "range(3)", "v[::-1]")
    assert verify(turned, dtypes="float64", properties="oracle.*").verdict == "violated"


def test_the_cause_of_a_bug_is_found_without_gradients(tmp_path: Path) -> None:
    unscaled = tmp_path / "unscaled.py"
    path = apart(tmp_path, "scaled", "np.random.randn(3, dim, dim)", "range(3)")
    unscaled.write_text(Path(path).read_text().replace(" / np.sqrt(q.shape[-1])", ""))
    assert compare(understand(str(unscaled))).names == ("NotScaled",)


IN_TUPLES = {
    "one": ("tuple(np.random.randn(dim, dim) for _ in range(3))", "range(3)"),
    "within": ("{'all': ([np.random.randn(dim, dim), None], tuple(np.random.randn(2, dim, dim)))}; self.maps = Flat(self.maps)",
               "range(3)"),
    "named": ("Maps(*(np.random.randn(dim, dim) for _ in range(3)))", "range(3)"),
    "next_to": ("[np.random.randn(dim, dim), np.random.randn(dim, dim), None]; self.more = (np.random.randn(dim, dim),)",
                "range(3)"),
}  # fmt: skip
KINDS = """
from collections import namedtuple

Maps = namedtuple("Maps", "q k v")


class Flat:
    def __init__(self, kept):
        self.kept = kept

    def __getitem__(self, n):
        (one, _), (two, three) = self.kept["all"]
        return (one, two, three)[n]
"""


@pytest.mark.parametrize("case", IN_TUPLES)
def test_tuples_are_replaced_by_tuples_of_its_arrays(tmp_path: Path, case: str) -> None:
    maps, names = IN_TUPLES[case]
    for name, values, verdict in (("right", "v", "holds"), ("wrong", "v[::-1]", "violated")):
        path = Path(apart(tmp_path, f"{case}_{name}", maps, names, values))
        source = path.read_text().replace("class Attention", f"{KINDS}\n\nclass Attention")
        path.write_text(source.replace("self.maps[n])", "(self.maps[n] if self.maps[n] is not None else self.more[0]))"))
        assert verify(str(path), dtypes="float64", properties="oracle.*").verdict == verdict


def test_arrays_that_cannot_be_replaced_are_a_question(tmp_path: Path) -> None:
    """They are not judged as they are next to others that are found."""
    closed = (
        "(lambda last: lambda n: last)(np.random.randn(dim, dim)); self.maps = Calling(self.maps, np.random.randn(2, dim, dim))"
    )
    path = Path(apart(tmp_path, "closed", closed, "range(3)"))
    kind = "class Calling:\n    def __init__(self, last, two):\n        self.last, self.two = last, two\n\n"
    kind += "    def __getitem__(self, n):\n        return self.last(n) if n == 2 else self.two[n]\n\n\nclass Attention"
    path.write_text(path.read_text().replace("class Attention", kind))
    with pytest.raises(SubjectError, match="keeps 1 of its arrays in no attribute, list, tuple or dict"):
        understand(str(path))


TRAINED_BY_HAND = """

    def zero_grad(self):
        self.grads = {n: np.zeros_like(getattr(self, n)) for n in ("W_q", "W_k", "W_v", "W_o")}
        self.db_v, self.m_W_o = np.zeros_like(self.b_v), np.zeros_like(self.W_o)

    def backward(self, gradient):
        self.grads["W_o"] += gradient.sum() * self.W_o
        return gradient @ self.W_o.T

    def helper(self):
        return None
"""


def test_what_a_backward_pass_of_its_own_keeps_is_no_parameter(tmp_path: Path) -> None:
    for name, kept, verdict in (("right", "pass", "holds"), ("wrong", "a = a.swapaxes(2, 3)", "violated")):
        path = Path(batched(tmp_path, f"by_hand_{name}", kept))
        made = "self.b_v = np.zeros(d_model)"
        path.write_text(path.read_text().replace(made, f"{made}\n        self.zero_grad()") + TRAINED_BY_HAND)
        module = understand(str(path)).adapter.owner(4, num_heads=2)
        assert sorted(n for n, _ in module.named_parameters()) == ["W_k", "W_o", "W_q", "W_v", "b_v"]
        found = verify(str(path), dtypes="float64", properties="oracle.*")
        assert found.verdict == verdict, str(found)
        assert {"method backward", "method zero_grad"} <= set(found.not_judged)


def test_what_uses_torch_or_has_no_call_is_no_such_class(tmp_path: Path) -> None:
    assert of_numpy(torch.nn.Linear) is None
    assert of_numpy(Path) is None
    (tmp_path / "none.py").write_text(
        "import numpy as np\n\n\nclass Attention:\n    def __init__(self, dim, heads):\n        pass\n"
    )
    with pytest.raises((SubjectError, Question), match="no attention-like"):
        understand(str(tmp_path / "none.py"))
