"""A file with several attentions: each is judged, and the answer is that on all of them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mhsa.commands.cli import main
from mhsa.records.results import PropertyResult
from mhsa.run.child import Child

BOTH = """
from torch import nn


class Heads(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        assert dim % num_heads == 0
        self.num_heads = num_heads
        self.q, self.k, self.v, self.proj = (nn.Linear(dim, dim) for _ in range(4))

    def attend(self, x, y, power):
        q, k, v = (f(z).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, z in ((self.q, x), (self.k, y), (self.v, y)))
        return self.proj(((q @ k.mT / q.size(-1) ** power).softmax(-1) @ v).transpose(1, 2).flatten(2))


class SelfAttention(Heads):
    def forward(self, x):
        return self.attend(x, x, 0.5)


class CrossAttention(Heads):
    def forward(self, x, context):
        return self.attend(x, context, 0.25)
"""


def test_a_bug_in_one_of_several_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("two.py").write_text(BOTH)
    assert main(["verify", "two.py", "--no-diagnosis", "-k", "oracle.output_without_mask", "--json", "out.json"]) == 1
    subjects = json.loads(Path("out.json").read_text())["subjects"]
    assert {s["label"]: s["verdict"] for s in subjects} == {
        "two.py:SelfAttention": "holds",
        "two.py:CrossAttention": "violated",
    }


LAYER = """

class DecoderLayer(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        self.one, self.two = SelfAttention(dim, num_heads), CrossAttention(dim, num_heads)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x, memory):
        a = x + self.one(self.norm1(x))
        return RESIDUAL + self.two(self.norm2(a), memory)
"""


@pytest.mark.parametrize(("residual", "code"), [("a", 0), ("x", 1)])
def test_what_is_built_of_several_is_judged_with_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, residual: str, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    file = f"layer_{residual}.py"
    Path(file).write_text(BOTH.replace("0.25", "0.5") + LAYER.replace("RESIDUAL", residual))
    words = ["--no-diagnosis", "-k", "residuals_are_in_their_places or output_without_mask", "--json", "out.json"]
    assert main(["verify", file, *words]) == code
    first, second = json.loads(Path("out.json").read_text())["subjects"]
    assert (first["verdict"], second["verdict"]) == ("holds", "violated" if code else "holds")
    assert "DecoderLayer, but for its residuals and the places of its norms" in second["not_judged"]


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels that processes were started for: a file means its classes A and B, and everything else holds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    labels: list[str] = []

    def run(child: Child) -> Iterator[None]:
        for n, (request, result) in enumerate(zip(child.requests, child.results, strict=True), 1):
            labels.append(request.label)
            if request.spec.endswith(".py"):
                names = "ABCDEFGHI" if "many" in request.spec else "AB"
                result.question, result.reason = True, "several"
                result.means = [f"{request.spec}:{name}" for name in names]
            else:
                child.add(n, PropertyResult("oracle.output_without_mask", "pass", cases=1))
        child.finished = True
        yield

    monkeypatch.setattr(Child, "run", run)
    return labels


@pytest.mark.parametrize(
    ("typed", "expected", "code"),
    [
        (["x.py"], ["x.py", "x.py:A", "x.py:B"], 0),
        (["m:C", "x.py"], ["m:C", "x.py", "x.py:A", "x.py:B"], 0),
        (["x.py", "x.py:A"], ["x.py", "x.py:A", "x.py:B"], 0),  # one that was named is judged once
        (["many.py"], ["many.py"], 2),  # too many: the question says what to name
    ],
)
def test_what_a_file_means_is_judged_in_its_place(judged: list[str], typed: list[str], expected: list[str], code: int) -> None:
    for name in typed:
        if name.endswith(".py"):
            Path(name).touch()
    assert main(["verify", "--no-diagnosis", "--json", "out.json", *typed]) == code
    assert judged == expected
    found = [s["label"] for s in json.loads(Path("out.json").read_text())["subjects"]]
    assert sorted(found) == sorted(set(expected) - ({"x.py"} if code == 0 else set()))


def test_a_configured_file_stays_a_question(judged: list[str]) -> None:
    Path("x.py").touch()
    Path("pyproject.toml").write_text('[tool.mhsa.subjects.mine]\nsubject = "x.py"\n')
    assert main(["verify", "--no-diagnosis"]) == 2
    assert judged == ["mine"]
