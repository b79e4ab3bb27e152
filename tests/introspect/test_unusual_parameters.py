"""Parameters that are made late, frozen, missing in some sizes or of a width of their own; and numbers that are none."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import mhsa
from mhsa.bugs.diagnosis.match import compare
from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.case import Case
from mhsa.records.case_files import case_file as casefile
from mhsa.records.errors import Question, SubjectError
from mhsa.records.request import Request
from mhsa.records.results import PropertyResult, SubjectResult, as_data, as_json
from mhsa.subject import check


class Base(nn.Module):
    def __init__(self, heads, dim):
        super().__init__()
        self.heads = heads
        self.make(dim, torch.get_default_dtype())

    def make(self, dim, dtype):
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim, dtype=dtype) for _ in range(4))

    def forward(self, query, key, value):
        q, k, v = (
            f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        return self.o(((q @ k.mT / k.size(-1) ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))


class Late(Base):
    def make(self, dim, dtype):
        pass

    def forward(self, query, key, value):
        if not hasattr(self, "q"):
            super().make(query.size(-1), query.dtype)
        return super().forward(query, key, value)


class Frozen(Base):
    def make(self, dim, dtype):
        super().make(dim, dtype)
        self.table = nn.Parameter(torch.zeros(7), requires_grad=False)


class Unused(Frozen):
    def make(self, dim, dtype):
        super().make(dim, dtype)
        self.never = nn.Parameter(torch.zeros(3))


class NoOutForOne(Base):
    def make(self, dim, dtype):
        super().make(dim, dtype)
        if self.heads == 1:
            del self.o
            self.o = self.of_one()

    def of_one(self):
        return torch.clone


class NoOutForTwo(Base):
    def make(self, dim, dtype):
        super().make(dim, dtype)
        if self.heads < 3:
            del self.o
            self.o = torch.clone


class IdentityForOne(NoOutForOne):
    def of_one(self):
        return nn.Identity()


class Inner(Base):
    scale = 6

    def make(self, dim, dtype):
        inner = 6 * self.heads
        self.q, self.k, self.v = (nn.Linear(dim, inner, dtype=dtype) for _ in range(3))
        self.o = nn.Linear(inner, dim, dtype=dtype)

    def forward(self, query, key, value):
        return super().forward(query * (6 / self.scale) ** 0.5, key, value)


class InnerAdapter(mhsa.Adapter):
    kind = Inner
    takes_mask = False
    contract = mhsa.Contract(indivisible="any")

    def build(self, head, d_model):
        return self.kind(head, d_model)

    def call(self, module, query, key, value, mask):
        return module(query, key, value)

    def projections(self, module):
        return mhsa.Projections.of_linears(module.q, module.k, module.v, module.o)


class InnerWrong(Inner):
    """The scale is that of heads with 3 features."""

    scale = 3


class InnerWrongAdapter(InnerAdapter):
    kind = InnerWrong


def test_numbers_that_json_has_not_are_kept_as_words(tmp_path: Path) -> None:
    with pytest.raises(check.Violation) as raised:
        check.fail(
            "it is off", bound=math.inf, observed=float("nan"), all=[1.0, -math.inf], single=np.float32("inf"),
            array=np.array([0.5, np.nan]), tensor=torch.tensor([1, 2]), index=np.int64(3),
        )  # fmt: skip
    facts = raised.value.facts
    assert (facts["bound"], facts["observed"], facts["all"], facts["single"]) == ("inf", "nan", [1.0, "-inf"], "inf")
    assert (facts["array"], facts["tensor"], facts["index"]) == ([0.5, "nan"], [1, 2], 3)
    found = PropertyResult("oracle.output_without_mask", "fail", counterexample={"drawn": {}, "bound": math.inf})
    path = casefile.save(tmp_path / "cases", Request("x.py", "x.py"), found, {})
    assert casefile.read(path).found["bound"] == "inf"
    (subject,) = json.loads(as_json(as_data([SubjectResult("x.py", properties=[found])], {})))["subjects"]
    assert subject["properties"][0]["counterexample"]["bound"] == "inf"


def test_what_was_drawn_is_kept_only_as_it_can_be_drawn_again() -> None:
    from mhsa.records.case_files.case_json import encode

    assert encode({"rate": 0.5, "case": Case("float64", 1, 1, 1, 1, 1)}) is not None
    assert encode({"rate": math.inf}) is None


def test_parameters_that_a_call_makes_are_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Question) as raised:
        understand(f"{__file__}:Late")
    said = str(raised.value)
    assert "makes parameters in its first call (k.bias, k.weight, o.bias, o.weight and 4 more)" in " ".join(said.split())
    code = said.partition("\n\n")[2].replace("from test_unusual_parameters", "from own_parameters")
    (tmp_path / "own_parameters.py").write_text(Path(__file__).read_text())
    (tmp_path / "my_attention.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    assert "query from q.weight" in dict(understand("my_attention.py:make").notes)["parameters"]


def test_a_map_that_is_missing_in_some_size_is_asked_about() -> None:
    with pytest.raises(Question, match=r"with head=2, d_model=\d the module has no out projection, and in"):
        understand(f"{__file__}:NoOutForTwo")
    assert understand(f"{__file__}:IdentityForOne").not_judged == (), "an identity in its place says that none is needed"
    fixed = Request("x", f"{__file__}:NoOutForOne", arguments={"heads": 2, "dim": 8})
    assert understand(fixed).adapter.sizes == (2, 8)


def test_a_map_that_one_head_lacks_leaves_that_head_unjudged() -> None:
    subject = understand(f"{__file__}:NoOutForOne")
    assert subject.fewest_heads == 2
    assert subject.not_judged == ("one head, which lacks a map of several",)
    found = verify(f"{__file__}:NoOutForOne", dtypes="float64", properties=["oracle.*", "numbers.*", "heads.*"])
    assert found, str(found)
    alone = next(p for p in found.properties if p.id == "heads.one_head_is_single_head_attention")
    assert (alone.outcome, alone.cases) == ("not-applicable", 0)


def test_frozen_parameters_are_not_counted_among_the_trained(mhsa, tmp_path: Path) -> None:
    names = [f"{__file__}:{name}" for name in ("Frozen", "Unused")]
    done = mhsa("verify", *names, "-k", "four_maps", "--no-diagnosis", "--json", tmp_path / "o.json",
                "--contract", "spare_parameters=none", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 1
    frozen, unused = json.loads((tmp_path / "o.json").read_text())["subjects"]
    assert frozen["verdict"] == "holds"
    reason = unused["properties"][0]["reason"]
    assert reason.startswith("the module has 11 trained parameters, but its four maps have 8 of them (")


def test_an_inner_width_of_its_own_is_judged_or_said_to_be_out_of_reach(mhsa, tmp_path: Path) -> None:
    chosen = "heads or features_may_be_mixed or identities or among_the_values or two_clusters or output_without_mask"
    names = [f"{__file__}:{name}" for name in ("InnerAdapter", "InnerWrongAdapter")]
    done = mhsa("verify", *names, "-k", chosen, "--no-diagnosis", "-v", "--json", tmp_path / "o.json", cwd=tmp_path)
    assert done.returncode == 1
    right, wrong = json.loads((tmp_path / "o.json").read_text())["subjects"]
    assert right["verdict"] == "holds", done.stdout
    assert wrong["verdict"] == "violated"
    outcomes = {p["id"]: p["outcome"] for p in right["properties"]}
    passed = [identity for identity, outcome in outcomes.items() if outcome == "pass"]
    assert {"heads.each_head_alone", "algebra.value_and_output_features_may_be_mixed"} <= set(passed)
    assert outcomes["crafted_inputs.output_in_two_clusters"] == "not-applicable"
    assert "an inner width that is not d_model" in " ".join(done.stdout.split())


def test_no_known_bug_is_compared_with_another_inner_width() -> None:
    with pytest.raises(SubjectError, match="known bugs are kept for maps from d_model to d_model, and the subject's have"):
        compare(understand(f"{__file__}:InnerWrongAdapter"))
