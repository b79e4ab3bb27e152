"""``@mhsa.cases``: examples that a test of any attention compares with, and what they say of a wrong one."""

import pytest
import torch
from torch import Tensor, nn

import mhsa
from mhsa.judge.example import Example
from mhsa.judge.sampling import sample
from mhsa.records.case import MASKS
from mhsa.records.defaults import DTYPES


def multi_head(case: Example, scale: bool = True) -> tuple[Tensor, Tensor]:
    """Attention as anybody would write it: output and weights."""
    roles = (("query", case.query), ("key", case.key), ("value", case.value))
    q, k, v = (
        nn.functional.linear(x, case.parameters[f"{role}.weight"], case.parameters[f"{role}.bias"])
        .unflatten(-1, (case.head, -1))
        .transpose(1, 2)
        for role, x in roles
    )
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    scores = q.to(wide) @ k.to(wide).transpose(-2, -1)
    if scale:
        scores = scores / q.size(-1) ** 0.5
    if case.mask is not None:
        scores = scores.masked_fill(~case.mask[:, None], -torch.inf)
    weights = scores.softmax(-1).nan_to_num(0.0)
    mixed = (weights @ v.to(wide)).to(q.dtype).transpose(1, 2).flatten(2)
    return nn.functional.linear(mixed, case.parameters["out.weight"], case.parameters["out.bias"]), weights.to(q.dtype)


def examples(count: int = 20, seed: int = 0, masks: tuple[str, ...] = MASKS, dtypes: tuple[str, ...] = ("float64",), **more):
    return [Example(case) for case in sample(count, seed, masks, dtypes, **more)]


def test_a_right_attention_is_within_its_bound_in_every_kind_of_case() -> None:
    for case in examples(84, masks=MASKS, dtypes=DTYPES):
        output, weights = multi_head(case)
        assert case.query.dtype == output.dtype == getattr(torch, case.case.dtype)
        case.check(output, weights)


def test_a_wrong_one_is_told_what_is_wrong_where_by_how_much_and_in_which_case() -> None:
    wrong = [case for case in examples(20) if case.d_model > case.head and case.case.key_length > 1]
    assert len(wrong) > 10
    for case in wrong:
        if case.case.data == "tiny":
            continue
        with pytest.raises(AssertionError) as raised:
            case.check(*multi_head(case, scale=False))
        message = str(raised.value)
        assert message.startswith(("output[", "weights["))
        for words in ("]=", ", but must be ", " +- ", "(error/bound ", "elements are wrong; B=", str(case.case)):
            assert words in message


def test_weights_are_judged_where_they_are_given() -> None:
    (case,) = examples(1, masks=("padding",))
    output, weights = multi_head(case)
    case.check(output)
    with pytest.raises(AssertionError, match=r"^weights\[.*but must be .* B=2 H=3"):
        case.check(output, weights.flip(-1))
    with pytest.raises(AssertionError, match=r"^output\[.*=nan, but must be"):
        case.check(output * torch.nan)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (torch.zeros(2, 4, 14), r"output is \[2, 4, 14\], but must be a tensor \[2, 4, 15\]; B=2 H=3 Tq=4"),
        (torch.zeros(4, 2, 15), r"output is \[4, 2, 15\], but must be a tensor \[2, 4, 15\]"),
        (None, r"output is a NoneType, but must be a tensor \[2, 4, 15\]"),
        ([0.0], r"output is a list, but must be"),
    ],
)
def test_what_is_no_output_is_told(output: object, words: str) -> None:
    (case,) = examples(1, masks=("none",))
    with pytest.raises(AssertionError, match=words):
        case.check(output)


def test_the_same_cases_come_each_time_and_other_seeds_give_others() -> None:
    assert sample(30, 5, MASKS, DTYPES) == sample(30, 5, MASKS, DTYPES)
    assert sample(30, 5, MASKS, DTYPES) != sample(30, 6, MASKS, DTYPES)
    assert sample(30, 5, MASKS, DTYPES)[:10] == sample(10, 5, MASKS, DTYPES)
    first, second = (examples(3)[1] for _ in range(2))
    assert torch.equal(first.query, second.query)
    assert all(torch.equal(first.parameters[name], second.parameters[name]) for name in first.parameters)


def test_sizes_can_be_fixed() -> None:
    for case in examples(14, sizes=(4, 12)):
        assert (case.head, case.d_model) == (4, 12)
        assert case.query.shape[-1] == 12
    assert len({(c.case.batch, c.case.query_length, c.case.key_length) for c in examples(14, sizes=(4, 12))}) > 5


def test_self_attention_has_one_tensor() -> None:
    for case in examples(14, masks=("causal", "padding"), self_attention=True):
        assert case.query is case.key is case.value
        assert case.mask.shape[-1] == case.mask.shape[-2] == case.query.shape[1]
        case.check(*multi_head(case))


def test_parameters_can_be_loaded_into_linear_layers_with_a_bias_or_without() -> None:
    (case,) = examples(1, masks=("random",))
    layers = [nn.Linear(case.d_model, case.d_model, bias=n != 1, dtype=torch.float64) for n in range(4)]
    before = case.expected.output.value
    case.load_into(*layers)
    assert case.expected.output.value == pytest.approx(before, abs=1e-12), "a bias of the keys makes no difference"
    assert not case.parameters["key.bias"].any()
    for role, layer in zip(("query", "key", "value", "out"), layers, strict=True):
        assert torch.equal(layer.weight, case.parameters[f"{role}.weight"])
    output, weights = multi_head(case)
    case.check(output, weights)
    layers[3] = nn.Linear(case.d_model, case.d_model, bias=False, dtype=torch.float64)
    case.load_into(*layers)
    with pytest.raises(AssertionError, match="output"):
        case.check(output)
    case.check(multi_head(case)[0])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"count": 0}, r"cases\(count=0\); must be at least 1"),
        ({"masks": ("padded",)}, r"cases\(masks=\('padded',\)\); must be of none, all, padding, causal, broadcast, random"),
        ({"masks": "padding"}, r"cases\(masks='padding'\); must be of none"),
        ({"masks": ()}, r"cases\(masks=\(\)\); must be of none"),
        ({"dtypes": ("float8",)}, r"cases\(dtypes=\('float8',\)\); must be of float64, float32, bfloat16, float16"),
        ({"sizes": (3, 8)}, r"cases\(sizes=\(3, 8\)\); must be \(head, d_model\), and d_model a multiple of head"),
        ({"sizes": (0, 8)}, r"cases\(sizes=\(0, 8\)\); must be"),
        ({"sizes": (8,)}, r"cases\(sizes=\(8,\)\); must be"),
    ],
)
def test_bad_arguments_are_refused_with_what_is_allowed(given: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        mhsa.cases(**given)
