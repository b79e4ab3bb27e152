"""Where every call raises nothing is judged: the question says what was tried, and shows the adapter to write."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import mhsa
from mhsa.introspect.resolve import understand
from mhsa.records.document.run import RunRecord
from mhsa.records.errors import Question
from mhsa.records.results import SubjectResult, as_data
from mhsa.reports.markdown import markdown

PIXELS = """
from torch import nn


class Pixels(nn.Module):
    def __init__(self, dim, num_heads=8):
        super().__init__()
        assert dim % num_heads == 0
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Conv1d(dim, 3 * dim, 1), nn.Conv1d(dim, dim, 1)

    def forward(self, x, attn_mask=None):
        B, C, A, D, H, W = x.shape
        q, k, v = self.qkv(x.flatten(2)).view(B, 3, self.num_heads, -1, A * D * H * W).mT.unbind(1)
        s = q @ k.mT / q.size(-1) ** 0.5
        if attn_mask is not None:
            s = s.masked_fill(~attn_mask[:, None], -1e9)
        return self.proj((s.softmax(-1) @ v).mT.reshape(B, C, -1)).view(x.shape)
"""


class Plain(nn.Module):
    def __init__(self, num_heads, d_model) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        self.look(query, key, mask)
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        s = q @ k.mT / k.size(-1) ** 0.5
        s = s if mask is None else s.masked_fill(~mask[:, None], -1e9)
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))

    def look(self, query, key, mask):
        pass


class Always(Plain):
    def look(self, query, key, mask):
        raise AssertionError("Torch not compiled with CUDA enabled")


class SingleOnly(Plain):
    def look(self, query, key, mask):
        if query.dtype != torch.float32:
            raise RuntimeError("expected Float")


class MaskNeeded(Plain):
    def look(self, query, key, mask):
        if mask.dim() != 3:
            raise RuntimeError("no")


class SquareOnly(Plain):
    def look(self, query, key, mask):
        if query.size(1) != key.size(1):
            raise RuntimeError("no")


class OneSampleOnly(Plain):
    def look(self, query, key, mask):
        if query.size(0) != 1:
            raise RuntimeError("no")


class EvenWidthOnly(Plain):
    def look(self, query, key, mask):
        if query.size(-1) // self.num_heads % 2:
            raise RuntimeError("no")


class WidthOfHeads(Plain):
    """Takes its third argument for something else than a value."""

    def forward(self, x, place_codes, mask=None):
        return self.o(x * place_codes[0, 0])[..., :1].expand(1, 2, 3, 4).flatten(7)


class MaskUnderAnUnknownName(Plain):
    """Takes a mask that its name does not show."""

    def forward(self, x, pairs=None):
        return super().forward(x[..., 0, :], x, x, pairs)


built = Always(2, 8)


def raising(query, key, value, mask=None):
    return query.no_such_thing


class Raising(mhsa.Adapter):
    def build(self, head, d_model):
        return Plain(head, d_model)

    def call(self, module, query, key, value, mask):
        return module(query)


def question(name: str) -> str:
    with pytest.raises(Question) as raised:
        understand(f"{__file__}:{name}")
    return str(raised.value)


@pytest.mark.parametrize("name", ["SingleOnly", "MaskNeeded", "OneSampleOnly", "EvenWidthOnly"])
def test_what_raises_under_a_condition_only_is_judged(name: str) -> None:
    assert understand(f"{__file__}:{name}").name.endswith(name)


def test_what_raises_for_unequal_lengths_is_a_question_that_can_be_declared() -> None:
    with pytest.raises(Question) as raised:
        understand(f"{__file__}:SquareOnly")
    assert raised.value.declaration == {"lengths": "equal"}


def test_the_question_says_what_was_given_and_raised_and_where() -> None:
    said = question("Always")
    line = next(n for n, words in enumerate(Path(__file__).read_text().splitlines(), 1) if "not compiled with CUDA" in words)
    for words in (
        "every call raises (",
        "given    query [2, 3, 20], key [2, 6, 20], value [2, 6, 20], no mask,\n             float64",
        "raised   AssertionError: Torch not compiled with CUDA enabled",
        f"test_failing_calls.py, line {line}",
        "in float64 and float32",
        "read as  forward(query, key, value, mask)",
        "        return Always(num_heads=head, d_model=d_model)",
        "        return module(query=query, key=key, value=value, mask=mask)  # <- change this",
        "mhsa verify --device cuda",
    ):
        assert words in said


def test_a_place_in_torch_is_told_by_the_line_that_called_it() -> None:
    said = question("WidthOfHeads")
    assert "test_failing_calls.py" in next(line for line in said.splitlines() if line.startswith("    at "))
    assert "return module(x=query, place_codes=key, mask=mask)  # <- change this" in said


def test_built_modules_functions_and_adapters_are_told_what_to_write() -> None:
    assert "return copy.deepcopy(built)" in question("built")
    assert "sizes = (2, 8)" in question("built")
    assert "def attention(query, key, value, mask=None):" in question("raising")
    assert "return raising(query, key, value, mask)  # <- change this" in question("raising")
    assert "decided in build() and call() of Raising" in question("Raising")


def test_every_line_that_may_have_to_change_is_marked() -> None:
    said = question("MaskUnderAnUnknownName")
    assert "change the marked lines, and run" in " ".join(said.split())
    assert "    takes_mask = False  # <- remove this if it takes a mask\n" in said
    assert "change the marked line, and run" in " ".join(question("Always").split())


def test_the_adapter_can_be_pasted_and_with_one_line_changed_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pixels-1.py").write_text(PIXELS)  # no name that can be imported as it is
    with pytest.raises(Question) as raised:
        understand("pixels-1.py")
    _, _, code = str(raised.value).partition(":\n\n")
    Path("my_adapter.py").write_text(code)
    with pytest.raises(Question, match="not enough values to unpack"):
        understand("my_adapter.py")
    right = "x = query.mT[..., None, None, None]\n        return module(x=x, attn_mask=mask).flatten(2).mT"
    Path("changed.py").write_text(code.replace("return module(x=query, attn_mask=mask)", right))
    understood = dict(understand("changed.py").notes)
    assert understood["mask"].startswith("[B, Tq, Tk], bool")


def test_a_question_ends_with_2_and_fits_80_columns(tmp_path: Path) -> None:
    (tmp_path / "pixels.py").write_text(PIXELS)
    command = [sys.executable, "-m", "mhsa", "verify", "pixels.py", "--no-color", "--json", "found.json"]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"COLUMNS": "80"}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    (subject,) = json.loads((tmp_path / "found.json").read_text())["subjects"]
    assert subject["verdict"] == "question"
    assert subject["reason"] in done.stdout
    assert max(map(len, done.stdout.partition("question:")[2].splitlines())) <= 80
    assert "at       pixels.py, line 13" in done.stdout
    assert "CAUSE" not in done.stdout


def test_the_summary_shows_the_code_as_it_stands() -> None:
    asked = SubjectResult(
        "x.py", question=True, reason="every call raises\n    given    query\n\nimport mhsa\n\n\nclass A:\n    pass"
    )
    text = markdown(RunRecord.of(as_data([asked], {})))
    assert "❔ question: every call raises given query |" in text
    assert "```text\nevery call raises\n    given    query\n\nimport mhsa\n\n\nclass A:\n    pass\n```" in text


def of_arrays(q, k, v, mask=None):
    """Attention on arrays of NumPy: with a mask it takes tensors, too, as numpy.where makes arrays of them."""
    scores = np.matmul(q, np.swapaxes(k, -1, -2)) / np.sqrt(q.shape[-1])
    if mask is not None:
        scores = np.where(mask > 0, scores, -1e9)
    weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return np.matmul(weights / np.sum(weights, axis=-1, keepdims=True), v)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of NumPy, about tensors
def test_what_is_written_for_numpy_is_a_question() -> None:
    with pytest.raises(
        Question, match=r"\ANumPy raises in every call without a mask, .* \(\d+ were tried\), so nothing was judged"
    ):
        understand(f"{__file__}:of_arrays")
