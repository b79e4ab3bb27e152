"""What is returned in other places and forms: dictionaries, objects, the weights first or with their axes in another order."""

import collections
import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

import mhsa
from mhsa.introspect.resolve import understand
from mhsa.subject.caller import Caller

FEW = ("oracle.output_*", "oracle.returned_weights*", "weights.rows_sum_to_one")
Both = collections.namedtuple("Both", ["context", "probabilities"])


@dataclasses.dataclass
class Result:
    last_hidden_state: torch.Tensor
    attentions: torch.Tensor


FORMS = {
    "usual": lambda z, a: (z, a),
    "weights first": lambda z, a: (a, z),
    "list": lambda z, a: [z, a],
    "dictionary": lambda z, a: {"attention": a, "output": z},
    "named tuple": lambda z, a: Both(z, a),
    "object": lambda z, a: Result(z, a),
    "samples and heads": lambda z, a: (z, a.flatten(0, 1)),
    "heads and samples": lambda z, a: (z, a.transpose(0, 1).flatten(0, 1)),
    "heads first": lambda z, a: (z, a.transpose(0, 1)),
    "heads last": lambda z, a: (a.movedim(1, -1), z),
    "a list of heads": lambda z, a: (z, list(a.unbind(1))),
    "heads by their numbers": lambda z, a: (z, dict(enumerate(a.unbind(1)))),
}


def core(q, k, v, mask, temperature=1.0):
    scores = q @ k.mT / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    weights = scores.softmax(-1)
    return weights @ v, (scores * temperature).softmax(-1)


class Attention(nn.Module):
    form = "usual"
    temperature = 1.0  # of the weights that are returned, alone

    def __init__(self, num_heads, d_model):
        super().__init__()
        self.num_heads, self.d_model = num_heads, d_model
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        parts = ((self.q, query), (self.k, key), (self.v, value))
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in parts)
        z, weights = core(q, k, v, mask if mask is None else mask[:, None], self.temperature)
        return FORMS[self.form](self.o(z.transpose(1, 2).flatten(2)), weights)


def returning(form: str, temperature: float = 1.0) -> Any:
    return type("Returning", (Attention,), {"form": form, "temperature": temperature})


@pytest.mark.parametrize("form", FORMS)
def test_output_and_weights_of_a_module_are_judged_wherever_they_are(form: str) -> None:
    found = mhsa.verify(returning(form), dtypes="float64", properties=FEW)
    assert found, str(found)
    assert found.count("not-applicable") == 0
    assert understand("m", target=returning(form)).not_judged == ()


@pytest.mark.parametrize("form", ["weights first", "object", "usual"])
def test_wrong_weights_are_found_wherever_they_are(form: str) -> None:
    assert mhsa.verify(returning(form, 2.0), dtypes="float64", properties="oracle.returned_weights*").verdict == "violated"


def test_wrong_weights_in_another_order_are_taken_for_none() -> None:
    subject = understand("m", target=returning("heads first", 2.0))
    assert subject.caller.weights_from is None
    assert subject.not_judged == ("weights returned: shape [H, B, Tq, Tk]",)


def weights_first(q, k, v, mask=None):
    z, weights = core(q, k, v, mask)
    return weights, z


def unscaled_weights_first(q, k, v, mask=None):
    return weights_first(q * 2, k, v, mask)


def in_a_dictionary(query, key, value, mask=None):
    z, weights = core(query, key, value, mask)
    return {"p": weights, "z": z}


def with_a_third(query, key, value, mask=None):
    return (*core(query, key, value, mask), None)


@pytest.mark.parametrize("function", [weights_first, in_a_dictionary, with_a_third])
def test_a_function_may_return_its_weights_first_or_in_a_dictionary(function: Any) -> None:
    found = mhsa.verify(function, dtypes="float64", properties=FEW)
    assert found, str(found)
    assert found.count("not-applicable") == 0


def test_a_bug_in_a_function_that_returns_its_weights_first_is_found() -> None:
    found = mhsa.verify(unscaled_weights_first, dtypes="float64", properties=FEW)
    assert {p.id for p in found.failures} >= {"oracle.output_without_mask", "oracle.returned_weights"}


def test_an_attribute_of_an_object_is_no_value_unless_it_is_a_tensor() -> None:
    class Plain:
        def __init__(self) -> None:
            self.words = "nothing"

    class Giving(mhsa.Adapter):
        def call(self, module, query, key, value, mask):
            return Plain()

    x = torch.zeros(1, 2, 4)
    (item,) = Caller(Giving(), mhsa.Contract()).items(nn.Identity(), x, x, x, None)
    assert isinstance(item, Plain)


class OneHead(nn.Module):
    """Of one head, whose axis the weights do not have."""

    def __init__(self, d_model):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x):
        w = (self.q(x) @ self.k(x).mT / x.size(-1) ** 0.5).softmax(-1)
        return self.o(w @ self.v(x)), w


def test_weights_of_one_head_without_its_axis_hold_for_an_empty_batch_too() -> None:
    found = mhsa.verify(OneHead, dtypes="float64", properties=(*FEW, "edges.an_empty_batch"))
    assert found, str(found)
    assert found.count("not-applicable") == 1  # it takes no mask
