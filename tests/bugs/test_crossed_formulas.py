"""Right modules of crossed formulas agree with the oracle, output and gradients, on the cases on which a diagnosis compares."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mhsa.bugs.diagnosis.compared_cases import cases_for
from mhsa.bugs.mutants.right_formula import right_under
from mhsa.introspect.resolve import understand
from mhsa.oracle.formula.bias_fields import BiasTable
from mhsa.oracle.formula.fields import QkNorm, Rotary
from mhsa.oracle.formula.formula import Formula
from mhsa.records.contract import Contract
from mhsa.records.request import Request
from mhsa.subject.trial import Trial

CROSSED = [
    Formula(bias="given", causal="top-left", softcap=2.0),
    Formula(bias="given", causal="bottom-right", window=(2, -1), softcap=2.0, softcap_order="after-bias"),
    Formula(bias="given", sinks="learned", window=(1, 1), scale="1/d_k"),
    Formula(bias="alibi", causal="bottom-right", sinks="learned"),
    Formula(bias="alibi-geometric", window=(3, 0), softcap=4.0, softcap_order="after-bias"),
    Formula(bias="alibi", sinks=0.0, softcap=3.0),
    Formula(bias="alibi", rotary=Rotary(), kv_heads="grouped"),
    Formula(bias="given", rotary=Rotary(layout="interleaved"), causal="bottom-right", kv_heads="grouped", sinks="learned"),
    Formula(qk_norm=QkNorm(), rotary=Rotary(), causal="top-left", window=(2, 0), kv_heads="grouped", sinks="learned"),
    Formula(qk_norm=QkNorm("layer", 1e-3, "all"), bias="given", softcap=3.0, kv_heads="grouped"),
    Formula(lse="natural", sinks="learned", causal="top-left", rotary=Rotary(), kv_heads="grouped"),
    Formula(lse="base-2", bias="given", softcap=2.0, qk_norm=QkNorm()),
    Formula(bias=BiasTable(max_distance=30), scale=1.0, softcap=3.0, softcap_order="after-bias"),
    Formula(bias=BiasTable(), causal="bottom-right", sinks="learned", kv_heads="grouped"),
    Formula(bias=BiasTable("clipped", order="query - key"), softcap=3.0, kv_heads="grouped"),
    Formula(qk_norm=QkNorm("l2"), scale=10.0, bias="alibi", causal="bottom-right"),
    Formula(qk_norm=QkNorm("rms", gain="1 + weight", place="after-rotary"), rotary=Rotary(layout="interleaved")),
]
SHIFTED = """
from mhsa.bugs.mutants.right_formula import right_under
from mhsa.oracle.formula.formula import Formula

Right = right_under(Formula(bias="given", sinks="learned"))
"""


class Everything(nn.Module):
    """Grouped, causal, capped, biased, with sinks and with float16-proof masks."""

    mhsa_contract = Contract(
        causal="top-left", softcap=3.0, bias="given", sinks="learned", kv_heads="grouped", mask="allowed",
        mask_shape="[B, Tq, Tk]",
    )  # fmt: skip

    def __init__(self, dim: int, num_heads: int, num_kv_heads: int) -> None:
        super().__init__()
        self.h, self.kv, self.d = num_heads, num_kv_heads, dim // num_heads
        self.q_proj, self.o_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.k_proj, self.v_proj = nn.Linear(dim, self.kv * self.d), nn.Linear(dim, self.kv * self.d)
        self.sinks = nn.Parameter(torch.zeros(num_heads))

    def forward(self, query, key, value, mask=None, attn_bias=None):
        maps = ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        q, k, v = (f(x).unflatten(-1, (-1, self.d)).transpose(1, 2) for f, x in maps)
        k, v = (x.repeat_interleave(self.h // self.kv, 1) for x in (k, v))
        s = 3.0 * torch.tanh(q @ k.mT / self.d**0.5 / 3.0)
        s = s if attn_bias is None else s + attn_bias
        seen = torch.ones(s.shape[-2:], dtype=torch.bool).tril()
        s = s.masked_fill(~(seen if mask is None else seen & mask[:, None]), -torch.inf)
        s = torch.cat([s, self.sinks.view(1, -1, 1, 1).expand(*s.shape[:3], 1)], -1)
        return self.o_proj((s.softmax(-1)[..., :-1] @ v).transpose(1, 2).flatten(2))


def agrees(target: type[nn.Module]) -> tuple[set[str], bool]:
    """Compare on every case; return the kinds of biases that were given, and whether any is taken, by an added mask, too."""
    subject = understand(Request("a", "a", dtypes=("float64", "float32")), target=target)
    biases = set()
    for case in cases_for(subject):
        trial = Trial(subject, case, counted=False)
        found = trial.differentiate(trial.cotangent(20, case.output_shape))
        answer = found.answer
        apart = np.abs(answer.output - answer.expected.output.value) - answer.expected.output.error
        assert (apart[np.broadcast_to(answer.judged, apart.shape)] <= 0.0).all(), case
        if answer.lse is not None:
            must = answer.expected.lse
            assert (np.abs(answer.lse - must.value) <= must.error)[
                np.broadcast_to(answer.attended[:, None, :, 0], answer.lse.shape)
            ].all()
        if answer.judged.all():
            for name, gradient in found.observed.items():
                must = found.expected[name]
                assert (np.abs(gradient - must.value) <= must.error).all(), (name, case)
        biases.add("none" if trial.bias is None else case.bias)
    return biases, subject.caller.bias_form is not None


@pytest.mark.parametrize("formula", CROSSED, ids=str)
def test_a_crossed_formula_agrees(formula: Formula) -> None:
    biases, taken = agrees(right_under(formula))
    assert taken or formula.bias != "given"
    assert biases == ({"none", "full", "heads", "samples", "shared"} if taken else {"none"})


def test_everything_at_once_agrees() -> None:
    assert len(agrees(Everything)[0]) == 5


def test_a_shift_of_a_bias_matters_to_a_sink(tmp_path: Path, judge_pairs) -> None:
    """A right module with a bias and sinks is not called wrong because a number added to all scores changes its output."""
    (tmp_path / "biased_sinks.py").write_text(SHIFTED)
    pair = f"{tmp_path / 'biased_sinks.py'}:Right", "biases.a_constant_in_a_row_changes_nothing"
    assert judge_pairs({pair}) == {pair: "not-applicable"}
