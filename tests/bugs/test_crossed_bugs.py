"""A diagnosis names a known bug under a formula that is not the bug's own, in code that shares nothing with mhsa's."""

from pathlib import Path
from typing import Any

import pytest

from mhsa.bugs.diagnosis.compared_cases import finely
from mhsa.bugs.diagnosis.crossed_bugs import bug_under, bugs_under
from mhsa.bugs.diagnosis.match import compare
from mhsa.bugs.mutants.registry import declared, mutants
from mhsa.introspect.resolve import understand
from mhsa.oracle.formula.fields import Fill, Rotary
from mhsa.oracle.formula.formula import PLAIN, Formula
from mhsa.records.request import Request
from tests.helpers.model_file import model_file

SOURCE = '''
import torch

INF = float("inf")


def attend(q, k, v, mask=None, *, scale=None, cap=None, left=-1, slope=0.0, sink=None, blocked=-INF, late=1.0):
    """Causal attention of heads [B, H, T, d], aligned at the first key."""
    k, v = (x.repeat_interleave(q.size(1) // k.size(1), 1) for x in (k, v))
    s = q @ k.mT * (q.size(-1) ** -0.5 if scale is None else scale)
    away = torch.arange(k.size(2)) - torch.arange(q.size(2))[:, None]
    of_heads = 2.0 ** (-8.0 * torch.arange(1, q.size(1) + 1, dtype=s.dtype) / q.size(1))
    s = s - slope * of_heads[:, None, None] * away.abs() if slope else s
    seen = away <= 0
    seen = seen if left < 0 else seen & (-away <= left)
    seen = seen if mask is None else seen & mask
    s = s if cap is None else cap * torch.tanh(s / cap) * late
    s = s.masked_fill(~seen, blocked)
    if sink is not None:
        s = torch.cat((s, sink.view(-1, 1, 1).to(s).expand(*s.shape[:3], 1)), -1)
    return s.softmax(-1).nan_to_num()[..., : k.size(2)] @ v


def scaled(q, k, v, scale=None):
    return attend(q, k, v, scale=scale)


def scaled_twice(q, k, v, scale=None):
    return attend(q, k, v, scale=(scale or 1.0) * q.size(-1) ** -0.5)


def windowed(q, k, v, window_left=-1):
    return attend(q, k, v, left=window_left)


def one_too_long(q, k, v, window_left=-1):
    return attend(q, k, v, left=window_left + 1)


def capped(q, k, v, softcap=None):
    return attend(q, k, v, cap=softcap)


def capped_last(q, k, v, softcap=None):
    return attend(q, k, v, cap=softcap, blocked=-softcap)


def not_scaled_back(q, k, v, softcap=None):
    return attend(q, k, v, cap=softcap, late=1.0 / softcap)


def sunk(q, k, v, sinks=None):
    return attend(q, k, v, sink=sinks)


def sink_scaled(q, k, v, sinks=None):
    return attend(q, k, v, sink=sinks * q.size(-1) ** -0.5)


def sloped(q, k, v):
    return attend(q, k, v, slope=1.0)


def slope_added(q, k, v):
    return attend(q, k, v, slope=-1.0)


def masked(q, k, v, mask=None):
    return attend(q, k, v, mask)


def inverted(q, k, v, mask=None):
    return attend(q, k, v, None if mask is None else ~mask)


def grouped(q, k, v):
    return attend(q, k, v)


def interleaved(q, k, v):
    k, v = (x.repeat(1, q.size(1) // k.size(1), 1, 1) for x in (k, v))
    return attend(q, k, v)
'''
models = model_file(SOURCE, "crossed.py")
CAUSAL: dict[str, Any] = {"causal": "top-left"}
BUGS: list[tuple[str, str, dict[str, Any], str]] = [
    ("scaled", "scaled_twice", CAUSAL | {"scale": 0.3}, "ScaledTwice"),
    ("windowed", "one_too_long", CAUSAL | {"window": [2, 0], "kv_heads": "grouped"}, "WindowOneTooLong"),
    ("capped", "capped_last", CAUSAL | {"softcap": 2.5, "kv_heads": "grouped"}, "CappedAfterTheMask"),
    ("capped", "not_scaled_back", CAUSAL | {"softcap": 2.5}, "CapNotScaledBack"),
    ("sunk", "sink_scaled", CAUSAL | {"sinks": "learned", "kv_heads": "grouped"}, "SinkScaled"),
    ("sloped", "slope_added", CAUSAL | {"bias": "alibi-geometric"}, "DistanceAdded"),
    ("masked", "inverted", CAUSAL | {"mask": "allowed"}, "PolarityInverted"),
    ("grouped", "interleaved", CAUSAL | {"kv_heads": "grouped"}, "GroupsInterleaved"),
]


def compared(models: Path, name: str, contract: dict[str, Any]) -> Any:
    return compare(finely(understand(Request(name, f"{models}:{name}", contract=contract))))


@pytest.mark.parametrize(("right", "wrong", "contract", "name"), BUGS, ids=[bug[1] for bug in BUGS])
def test_it_is_named(models: Path, right: str, wrong: str, contract: dict[str, Any], name: str) -> None:
    found = compared(models, wrong, contract)
    assert [match.name for match in found.matches] == [name]
    assert compared(models, right, contract).wrong == 0


def test_what_is_said_is_true_of_the_declared_formula() -> None:
    formula = Formula(causal="top-left", window=(4, 0), softcap=2.0, scale=0.3)
    said = {name: bug.words for name in ("WindowOneTooLong", "CapClamps", "ScaledByRoot", "NotScaled", "ScaledTwice")
            if (bug := bug_under(name, None, formula)) is not None}  # fmt: skip
    assert said == {
        "WindowOneTooLong": "window = [5, 0]; must be window = [4, 0]",
        "CapClamps": "min(max(s, -2), 2); must be 2 tanh(s / 2)",
        "ScaledByRoot": "scale = None; must be scale = 0.3",
        "NotScaled": "softmax(Q K^T); must be scores times 0.3",
        "ScaledTwice": "softmax(0.3 Q K^T / sqrt(d_k)); must be softmax(0.3 Q K^T)",
    }


def test_no_sentence_has_the_numbers_of_another_formula() -> None:
    at_the_end = Formula(causal="bottom-right", window=(4, 0), sinks="learned")
    found = bug_under("WindowFromTheFirstKey", None, at_the_end)
    assert found is not None
    assert found.words == "i - 4 <= j; must be i + Tk - Tq - 4 <= j"
    assert bug_under("SinkNotShiftedByTheMaximum", None, at_the_end) is None  # it adds one
    assert bug_under("WindowForgotten", None, Formula(window=(4, 0))) is None  # nothing is causal


def test_bugs_of_features_that_a_formula_lacks_are_not_compared_with() -> None:
    assert bugs_under(PLAIN) == mutants()
    causal = {mutant.name for mutant in bugs_under(Formula(causal="top-left"))}
    assert {"SeesTheNextKey", "CausalForgotten", "NotScaled", "SoftmaxOverQueries", "PolarityInverted"} <= causal
    assert not {"KeysNotRotated", "SinkScaled", "CapForgotten", "WindowForgotten", "GroupsInterleaved"} & causal
    assert not {"MaskTransposed"} - causal  # of a given mask
    rotated = {mutant.name for mutant in bugs_under(Formula(causal="top-left", rotary=Rotary(500.0), kv_heads="grouped"))}
    assert {"KeysNotRotated", "PairsInterleaved", "GroupsInterleaved", "SeesTheNextKey"} <= rotated
    assert not {"PairsInHalves", "QueriesFromZero", "OffsetForgottenForKeys", "FrequenciesOfTheWholeHead"} & rotated


def test_a_fill_is_of_no_matter_to_a_diagnosis() -> None:
    """No compared case has scores near it: bugs are those of the formula without it."""
    assert bugs_under(Formula(fill=Fill(-10000.0))) == mutants()
    assert bugs_under(Formula(causal="top-left", fill=Fill(-10000.0))) == bugs_under(Formula(causal="top-left"))


def test_every_bug_can_be_built_under_every_formula_that_has_it() -> None:
    formula = Formula(
        causal="bottom-right", window=(3, 0), softcap=2.0, scale=0.3, kv_heads="grouped", sinks="learned", bias="alibi",
        rotary=Rotary(fraction=0.5),
    )  # fmt: skip
    for mutant in (*mutants(), *declared()):
        bug = bug_under(mutant.name, None, formula)
        if bug is not None:
            assert bug.kind.mhsa_contract.formula == formula
            assert bug.kind(4, 16, 0.0, kv_heads=2).w_k.out_features == 8  # type: ignore[call-arg]
