"""The reference and its fused core under declared formulas: against the oracle, against each other, and by all properties."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.crossed.formulas import FIELDS
from mhsa import Contract, MultiHeadAttention, fused_attention, self_attention, verify
from mhsa.bugs.diagnosis.match import cases_for
from mhsa.commands.cli import main
from mhsa.introspect.resolve import understand
from mhsa.records.request import Request
from mhsa.reference.blocks import ROWS
from mhsa.reference.formula_core import formula_attention
from mhsa.subject.trial import Trial
from tests.helpers.places import ROOT
from tests.helpers.saved_memory import Saved

LENGTH = ROWS + 44  # two blocks, the second one shorter
PLACES = ROOT / "benchmarks" / "crossed" / "formulas.py"


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("core", ["", "fused_"])
@pytest.mark.parametrize("name", FIELDS)
def test_output_and_gradients_are_within_the_oracles_bounds(name: str, core: str) -> None:
    """In all four formats, on the cases on which a diagnosis compares, drawn among them with masks and far values."""
    dtypes = ("float64", "float32", "bfloat16", "float16")
    subject = understand(Request("a", "a", dtypes=dtypes), target=_made(f"{core}{name}"))
    assert subject.contract.formula.words
    assert subject.not_judged == ()
    for number, case in enumerate(list(cases_for(subject))[::4]):
        trial = Trial(subject, case.resized(dtype=dtypes[number % 4]), counted=False)
        found = trial.differentiate(trial.cotangent(20, case.output_shape))
        answer = found.answer
        apart = np.abs(answer.output - answer.expected.output.value) - answer.expected.output.error
        assert (apart[np.broadcast_to(answer.judged, apart.shape)] <= 0.0).all(), case
        if answer.judged.all():
            for part, gradient in found.observed.items():
                must = found.expected[part]
                assert (np.abs(gradient - must.value) <= must.error).all(), (part, case)


def _made(name: str):
    import benchmarks.crossed.formulas as made

    return getattr(made, name)


# Those with the most features at once. Each formula is compared with the oracle above, and its two cores with each other below;
# `python -m benchmarks.crossed` judges both cores of every formula by every property.
@pytest.mark.parametrize("name", ["everything", "fused_everything", "fused_rotary_window_softcap_grouped"])
def test_every_property_holds(name: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert main(["verify", f"{PLACES}:{name}", "--no-color", "--no-diagnosis", "--json", str(report)]) == 0
    subject = json.loads(report.read_text())["subjects"][0]
    assert sum(p["outcome"] == "pass" for p in subject["properties"]) > 60
    assert "(declared)" in subject["understood"]["formula"]


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("name", FIELDS)
def test_the_fused_core_is_the_exact_one(name: str, dropout: float) -> None:
    """Beyond a block of queries, with a mask that has a row without keys: output, weights and gradients."""
    fused = _made(f"fused_{name}")(4, 16, dropout).double()
    exact = _made(name)(4, 16, 0.0).double()
    exact.load_state_dict(fused.state_dict())
    if hasattr(fused, "sinks"):
        for module in (fused, exact):
            module.sinks.data.copy_(torch.arange(4) / 4)
    x, y, mask = draw(2, LENGTH, 16), draw(2, LENGTH + 5, 16, seed=1), draw(2, LENGTH, LENGTH + 5, seed=3) > 0
    mask[0, 5] = False
    if fused.formula.bias == "given":
        mask = draw(2, LENGTH, LENGTH + 5, seed=4).masked_fill(~mask, -torch.inf)
    leaves = [
        x.clone().requires_grad_(),
        y.clone().requires_grad_(),
        *([mask.requires_grad_()] if mask.is_floating_point() else []),
    ]
    out, weights = fused(leaves[0], leaves[1], leaves[1], mask), fused.attn
    if not dropout:
        again = exact(leaves[0], leaves[1], leaves[1], mask)
        assert close(weights, exact.attn)
        others = list(exact.parameters())
    else:  # what was dropped is in the weights that are given
        value = fused.linear_value(leaves[1]).view(2, LENGTH + 5, fused.kv_heads, 4).transpose(1, 2)
        mixed = weights @ value.repeat_interleave(4 // fused.kv_heads, 1)
        again = fused.linear_out(mixed.transpose(1, 2).reshape(2, LENGTH, 16))
        others = list(fused.parameters())
        assert (weights == 0).double().mean() > 0.2
    assert close(out, again)
    gradients = [
        torch.autograd.grad(o.sin().sum(), [*leaves, *p], retain_graph=True, materialize_grads=True)
        for o, p in ((out, list(fused.parameters())), (again, others))
    ]
    assert all(itertools.starmap(close, zip(*gradients, strict=True)))


@pytest.mark.parametrize(
    "fields",
    [{"causal": "bottom-right", "window": (9, -1)}, {"softcap": 3.0, "causal": True}, {"bias": "alibi"}, {"sinks": 0.0}],
    ids=str,
)
@pytest.mark.parametrize("kv_heads", [2, 1])
def test_what_is_kept_for_the_backward_pass_grows_with_the_length(fields: dict, kv_heads: int) -> None:
    kept = []
    for length in (ROWS, 4 * ROWS):
        q, k, v = (draw(1, heads, length, 8, seed=n).requires_grad_() for n, heads in enumerate((2, kv_heads, kv_heads)))
        with Saved() as saved:
            z, _ = fused_attention(q, k, v, **fields)
        z.sum().backward()
        kept.append(sum(saved.kept.values()))
    assert kept[0] < kept[1] < 5 * kept[0]


def test_torchs_kernel_is_called_once_where_it_can_do_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    plain = functional.scaled_dot_product_attention
    monkeypatch.setattr(functional, "scaled_dot_product_attention", lambda *a, **k: given.append((a[3:], k)) or plain(*a, **k))
    q, k = draw(1, 4, LENGTH, 8), draw(1, 2, LENGTH, 8, seed=1)
    fused_attention(q, k, k, causal="bottom-right", scale=0.3)
    assert given == [((None, 0.0, True), {"scale": 0.3, "enable_gqa": True})]
    fused_attention(q, k, k, window=(3, 0))
    assert [mask.shape for (mask, *_), _ in given[1:]] == [(ROWS, LENGTH), (44, LENGTH)]


def test_the_arguments_of_the_fused_core_are_those_of_the_module() -> None:
    q, k, v = draw(2, 4, 5, 8), draw(2, 2, 7, 8, seed=1), draw(2, 2, 7, 8, seed=2)
    sinks, bias = draw(4, seed=3), draw(1, 4, 5, 7, seed=4)
    formula = Contract(
        causal="bottom-right", window=(4, -1), kv_heads="grouped", scale=0.3, softcap=2.0, bias="given", sinks="learned"
    ).formula
    z, weights = fused_attention(q, k, v, causal="bottom-right", window=(4, -1), scale=0.3, softcap=2.0, bias=bias, sinks=sinks)
    expected = formula_attention(q, k, v, formula, bias=bias, sinks=sinks)
    assert close(z, expected[0])
    assert close(weights(), expected[1])


class TestDeclaration:
    def test_without_arguments_nothing_is_declared(self) -> None:
        module = MultiHeadAttention(4, 24)
        assert module.mhsa_contract is None
        assert list(module.state_dict()) == [
            f"linear_{n}.{p}" for n in ("query", "key", "value", "out") for p in ("weight", "bias")
        ]
        assert MultiHeadAttention(4, 24, kv_heads=4).mhsa_contract is None

    def test_the_object_carries_what_it_computes(self) -> None:
        module = MultiHeadAttention(4, 24, causal=True, window=[3, 0], kv_heads=2, rotary="half", softcap=2.0, sinks="learned")
        contract = module.mhsa_contract
        assert contract is not None
        assert contract.formula == module.formula
        assert understand(Request("a", "a"), target=module).contract.formula == module.formula
        assert (contract.causal, contract.window, contract.kv_heads) == ("top-left", (3, 0), "grouped")
        assert "kv" not in str(module)
        assert "grouped keys and values" in str(module)
        assert module.sinks.shape == (4,)
        assert module.linear_key.weight.shape == (12, 24)

    def test_verify_judges_an_object_by_what_it_carries(self) -> None:
        module = MultiHeadAttention(4, 24, causal=True, window=(3, 0), kv_heads=2, rotary="half")
        assert verify(module, properties="oracle.output*").verdict == "holds"
        module.mhsa_contract = None  # without it, nothing says that it is causal
        assert verify(module, properties="oracle.output*").verdict != "holds"

    def test_a_class_leaves_it_to_its_objects(self) -> None:
        class Decoder(MultiHeadAttention):
            def __init__(self, num_heads: int, d_model: int) -> None:
                super().__init__(num_heads, d_model, causal=True, rotary="interleaved")

        read = understand(Request("a", "a"), target=Decoder).contract
        assert (read.causal, read.rotary.layout) == ("top-left", "interleaved")
        given = {"causal": "bottom-right", "score_bias": "alibi"}
        read = understand(Request("a", "a", arguments=given), target=MultiHeadAttention).contract
        assert (read.causal, read.bias) == ("bottom-right", "alibi")

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"kv_heads": 3}, "kv_heads=3; must divide head=4"),
            ({"kv_heads": 0}, "kv_heads=0"),
            ({"window": (3,)}, "MultiHeadAttention(window=(3,)); must be [left, right]"),
            ({"causal": "left"}, "MultiHeadAttention(causal='left'); must be one of None, 'no', 'top-left', 'bottom-right'"),
            ({"softcap": 0}, "MultiHeadAttention(softcap=0); must be a number above 0"),
            ({"rotary": "whole"}, "MultiHeadAttention(rotary='whole'); layout = 'whole'"),
            ({"score_bias": "table"}, "MultiHeadAttention(bias='table')"),
            ({"attention": functional.scaled_dot_product_attention, "softcap": 2.0, "sinks": 0.0},
             "scaled_dot_product_attention would have to compute softcap, sinks, which only mhsa.self_attention and"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_is_refused(self, fields: dict, words: str) -> None:
        with pytest.raises(ValueError) as raised:
            MultiHeadAttention(4, 24, **fields)
        assert words in str(raised.value)

    def test_any_core_gets_rotated_repeated_heads_and_a_mask(self) -> None:
        fields = {"causal": "bottom-right", "window": (3, -1), "rotary": "half", "kv_heads": 2}
        exact = MultiHeadAttention(4, 16, 0.0, **fields).double()
        other = MultiHeadAttention(4, 16, 0.0, attention=functional.scaled_dot_product_attention, **fields).double()
        other.load_state_dict(exact.state_dict())
        x, y = draw(2, 5, 16), draw(2, 7, 16, seed=1)
        assert close(exact(x, y, y), other(x, y, y))

    def test_one_rotation_is_the_plain_core_on_turned_heads(self) -> None:
        """The plain core knows nothing of formulas; a rotation by hand in front of it is the formula's."""
        q = draw(1, 2, 6, 4)
        angle = torch.arange(6, dtype=torch.float64)[:, None] * torch.tensor([1.0, 0.01], dtype=torch.float64)
        a, b = q.chunk(2, -1)
        turned = torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)
        found = formula_attention(q, q, q, Contract(rotary="half").formula)
        assert close(found[0], self_attention(turned, turned, q)[0])
