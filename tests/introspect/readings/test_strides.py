"""Modules that raise where their inputs are not contiguous: right ones are a question, and wrong ones are violated."""

import pytest
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.contract import Contract
from mhsa.records.errors import Question
from mhsa.records.request import Request
from tests.helpers.layers import Layers

FAMILIES = ("oracle.*", "layout.*", "symmetry.*", "gradients.gradients_of_inputs", "edges.*")


class Flattened(Layers):
    """Takes all tokens of a batch as rows of one matrix, as ``addmm`` wants them."""

    def forward(self, query, key, value, mask=None):
        query, key, value = (x.view(-1, x.size(-1)).view(x.shape) for x in (query, key, value))
        return self.attend(query, key, value, None if mask is None else ~mask)


class FlattenedAndSwapped(Flattened):
    def forward(self, query, key, value, mask=None):
        return super().forward(query, value, key, mask)


class Reshaped(Layers):
    def forward(self, query, key, value, mask=None):
        query, key, value = (x.reshape(-1, x.size(-1)).view(x.shape) for x in (query, key, value))
        return self.attend(query, key, value, None if mask is None else ~mask)


def test_a_right_module_is_a_question_and_holds_as_declared() -> None:
    with pytest.raises(Question, match=r"contiguous tensors only \(others raise\)") as caught:
        understand(Request.of(f"{__name__}:Flattened"))
    assert caught.value.declaration == {"strides": "contiguous"}
    found = verify(Flattened, properties=FAMILIES, contract=Contract(strides="contiguous"))
    assert found.verdict == "holds", found
    left = {p.id for p in found.properties if p.outcome == "not-applicable"}
    assert {"layout.each_tensor_in_its_own_layout", "layout.slices_of_one_tensor"} <= left


def test_what_takes_any_strides_is_not_asked() -> None:
    assert understand(Request.of(f"{__name__}:Reshaped")).contract.strides is None


def test_a_promise_of_any_strides_is_judged() -> None:
    found = verify(Flattened, properties=("layout.*",), contract=Contract(strides="any"))
    assert found.verdict == "violated"


@pytest.mark.parametrize("kind", [FlattenedAndSwapped])
def test_a_wrong_module_is_not_explained_by_strides(kind: type[nn.Module]) -> None:
    assert understand(Request.of(f"{__name__}:{kind.__name__}")).contract.strides is None
    assert verify(kind, properties=("oracle.*",), contract=Contract(strides="contiguous")).verdict == "violated"
