"""A mask of keys with an axis of size 1 behind, and one of queries and keys that is transposed by mistake, are told apart."""

from typing import Any

import pytest

from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from mhsa.records.request import Request
from tests.helpers.layers import Layers, fails


class Transposes(Layers):
    def forward(self, x, mask=None):
        return self.attend(x, x, x, None if mask is None else ~mask.mT)


class OfAGraph(Layers):
    def forward(self, x, adj=None):
        return self.attend(x, x, x, None if adj is None else ~adj.mT)


class NamedAsAMatrix(Layers):
    def forward(self, x, attn_mask=None):
        return self.attend(x, x, x, None if attn_mask is None else ~attn_mask.mT)


class SaysAMatrix(Layers):
    def forward(self, x, mask=None):
        """Attend; mask is (B, T, T), True may attend."""
        return self.attend(x, x, x, None if mask is None else ~mask.mT)


class SaysKeys(Layers):
    def forward(self, x, mask=None):
        """Attend; mask is (B, T, 1), True may attend."""
        return self.attend(x, x, x, None if mask is None else ~mask.mT)


class TakesKeysAlone(Layers):
    def forward(self, x, mask=None):
        if mask is not None and mask.shape != (*x.shape[:2], 1):
            raise ValueError("must be [B, T, 1]")
        return self.attend(x, x, x, None if mask is None else ~mask.mT)


def test_where_both_are_taken_it_is_a_question() -> None:
    subject = f"{__file__}:Transposes"
    with pytest.raises(Question, match="a mask \\[B, Tq, Tk\\] is taken, too, and transposed") as raised:
        understand(subject, ("float64",))
    declared = Request.of(subject, dtypes=("float64",), contract=raised.value.declaration)
    assert raised.value.declaration == {"mask_shape": "[B, Tk, 1]"}
    assert understand(declared).contract.mask_shape == "[B, Tk, 1]"


@pytest.mark.parametrize("wrong", [OfAGraph, NamedAsAMatrix, SaysAMatrix])
def test_a_matrix_by_name_or_docstring_is_transposed_by_mistake(wrong: Any) -> None:
    assert understand(f"{__file__}:{wrong.__name__}", ("float64",)).contract.mask_shape == "[B, Tq, Tk]"
    assert fails(f"{__file__}:{wrong.__name__}")


@pytest.mark.parametrize("right", [SaysKeys, TakesKeysAlone])
def test_a_mask_of_keys_alone_is_read(right: Any) -> None:
    assert understand(f"{__file__}:{right.__name__}", ("float64",)).contract.mask_shape == "[B, Tk, 1]"
