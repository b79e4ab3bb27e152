"""A declared field that applies to nothing is a question, not a promise kept; one that applies is let be."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from mhsa.introspect.declared_contract import APPLIES, different
from mhsa.introspect.resolve import understand
from mhsa.records.contract import Contract
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject.subject import Subject
from tests.helpers.model_file import model_file

MODEL = """
import mhsa
import torch
from torch import nn


class Unmasked(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        self.num_heads, self.d_model = num_heads, d_model
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value):
        return self.attend(query, key, value)

    def attend(self, query, key, value, mask=None):
        parts = ((self.q, query), (self.k, key), (self.v, value))
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in parts)
        scores = q @ k.mT / q.size(-1) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -1e9)
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Masked(Unmasked):
    def forward(self, query, key, value, mask=None):
        return self.attend(query, key, value, None if mask is None else mask.unsqueeze(1))


class Padded(Unmasked):
    def forward(self, query, key, value, mask=None):
        return self.attend(query, key, value, None if mask is None else mask[:, None, None])


class OwnWidth(Unmasked):
    def __init__(self, num_heads, d_model, head_dim=None):
        super().__init__(num_heads, d_model)


class AnyWidth(nn.Module):
    def __init__(self, num_heads):
        super().__init__()
        self.num_heads = num_heads

    def forward(self, q, k, v):
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (q, k, v))
        return ((q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)


class Promising(Unmasked):
    mhsa_contract = mhsa.Contract(mask="blocked")


class Careful(Masked):
    mhsa_contract = mhsa.Contract(masked="never-read", shape_mismatch="raises")


class Adapter(mhsa.Adapter):
    takes_mask = False
    contract = mhsa.Contract(fully_masked_row="zeros")

    def build(self, head, d_model):
        return Unmasked(head, d_model)

    def call(self, module, query, key, value, mask):
        return module(query, key, value)


class OneSize(Adapter):
    sizes = (2, 8)
    contract = mhsa.Contract(indivisible="any")


def careful(num_heads, d_model):
    return Careful(num_heads, d_model)


built = Masked(2, 8)


def function(query, key, value, mask=None):
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, mask)


def promising(query, key, value):
    return torch.nn.functional.scaled_dot_product_attention(query, key, value)


promising.mhsa_contract = mhsa.Contract(masked="never-read")


class Core(nn.Module):
    mhsa_contract = mhsa.Contract(masked="never-read")

    def forward(self, query, key, value, mask=None):
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, mask)
"""
NO_MASK = "the subject is given no mask"
BUILT = "the subject is a module that is built already"
model = model_file(MODEL)


def understood(model: Path, name: str, **contract: str) -> Subject:
    subject = name if ":" in name else f"{model}:{name}"
    return understand(Request("mine", subject, contract=dict(contract), dtypes=("float64",)))


def test_every_field_of_a_contract_is_in_the_table() -> None:
    assert set(APPLIES) == {f.name for f in fields(Contract)}


@pytest.mark.parametrize(
    ("name", "contract", "why"),
    [
        ("Unmasked", {"mask": "blocked"}, NO_MASK),
        ("Unmasked", {"mask": "allowed"}, NO_MASK),
        ("Unmasked", {"mask_shape": "[B, Tk]"}, NO_MASK),
        ("Unmasked", {"masked": "never-read"}, NO_MASK),
        ("Unmasked", {"fully_masked_row": "uniform"}, NO_MASK),
        ("Padded", {"fully_masked_row": "finite"}, "its masks are [B, Tk], the same for every query"),
        ("built", {"indivisible": "any"}, BUILT),
        ("built", {"indivisible": "raises"}, BUILT),
        ("function", {"indivisible": "any"}, "a function on [B, H, T, d] has no constructor"),
        ("OwnWidth", {"indivisible": "raises"}, "its constructor takes the width of a head"),
        ("AnyWidth", {"indivisible": "raises"}, "what its constructor builds takes tokens of any width"),
        ("Masked", {"reason": "it is known"}, "no other field is declared"),
    ],
)
def test_what_the_configuration_declares_for_nothing_is_a_question(model: Path, name: str, contract: dict, why: str) -> None:
    (field, value), *_ = contract.items()
    with pytest.raises(Question) as raised:
        understood(model, name, **contract)
    said = str(raised.value)
    assert said.startswith(f"mine: {field} = {value!r} is declared in [tool.mhsa.subjects], but applies to nothing: {why}")
    assert "Remove it" in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Promising", f"mask = 'blocked' is declared in its Contract, but applies to nothing: {NO_MASK}"),
        ("Adapter", f"fully_masked_row = 'zeros' is declared in its Contract, but applies to nothing: {NO_MASK}"),
        (
            "OneSize",
            "indivisible = 'any' is declared in its Contract, but applies to nothing: the subject is built in one size",
        ),
        ("promising", f"masked = 'never-read' is declared in its Contract, but applies to nothing: {NO_MASK}"),
    ],
)
def test_so_is_what_a_class_an_adapter_or_a_function_declares(model: Path, name: str, words: str) -> None:
    with pytest.raises(Question) as raised:
        understood(model, name)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("name", "contract"),
    [
        ("Masked", {"mask": "allowed", "mask_shape": "[B, Tq, Tk]", "fully_masked_row": "uniform", "masked": "may-be-read"}),
        ("Masked", {"indivisible": "any", "shape_mismatch": "unchecked", "reason": "the width is padded"}),
        ("Padded", {"mask_shape": "[B, Tk]", "masked": "may-be-read"}),
        ("Unmasked", {"shape_mismatch": "raises", "float64_in": "float32", "accumulation": "dtype"}),
        ("OwnWidth", {"indivisible": "any"}),
        ("built", {"fully_masked_row": "uniform"}),
        ("function", {"masked": "never-read"}),
        ("torch.nn:MultiheadAttention", {"reason": "our own words"}),
        ("torch.nn:MultiheadAttention", {}),
        ("mhsa:MultiHeadAttention", {}),
        ("mhsa:fused_attention", {}),
        ("torch.nn.functional:scaled_dot_product_attention", {}),
        ("mhsa.bench.measure.baseline:BaselineAdapter", {}),
        ("mhsa.bugs.mutants.plain:Plain", {}),
    ],
)
def test_what_applies_is_let_be_and_so_is_what_our_own_adapters_know(model: Path, name: str, contract: dict) -> None:
    found = understood(model, name, **contract).contract
    assert {field: getattr(found, field) for field in contract} == contract


@pytest.mark.parametrize(("name", "shape_mismatch"), [("Careful", "raises"), ("careful", "raises"), ("Core", "raises")])
def test_a_contract_is_found_wherever_it_is_declared(model: Path, name: str, shape_mismatch: str) -> None:
    contract = understood(model, name).contract
    assert (contract.masked, contract.shape_mismatch) == ("never-read", shape_mismatch)


def test_only_what_is_not_the_default_counts_as_declared() -> None:
    assert different(None) == different(Contract()) == {}
    assert different(replace(Contract(), mask="blocked", mask_shape=None)) == {"mask": "blocked"}


def test_a_question_ends_with_2_and_says_what_to_do(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One process, as only that shows what the command line makes of a question."""
    from mhsa.commands.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(
        f"[tool.mhsa.subjects.mine]\nsubject = '{model}:Unmasked'\ncontract = {{ mask = 'blocked' }}\n"
    )
    assert main(["verify", "-k", "output_without_mask", "--no-diagnosis"]) == 2
    assert f"question: mine: mask = 'blocked' is declared in [tool.mhsa.subjects], but applies to nothing: {NO_MASK}" in (
        " ".join(capsys.readouterr().out.split())
    )
