"""A mask that is made once for all lengths and cut to that of the queries: it is one of self-attention, without samples."""

import pytest

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.contract import Contract
from mhsa.records.errors import Question
from tests.helpers.layers import Layers, fails


class Cut(Layers):
    def forward(self, x, memory=None, mask=None):
        source, length = x if memory is None else memory, x.size(1)
        hide = None if mask is None else (mask[:length, :length] < 0).expand(len(x), length, length)
        return self.attend(x, source, source, hide)


class CutAndKeysOfTheQuery(Cut):
    def forward(self, x, memory=None, mask=None):
        return super().forward(x, None, mask)


class Transposed(Cut):
    def forward(self, x, memory=None, mask=None):
        return super().forward(x, memory, None if mask is None else mask.T)


def test_it_is_taken_with_as_many_queries_as_keys_alone() -> None:
    subject = f"{__file__}:Cut"
    with pytest.raises(Question, match="takes a mask with as many queries as keys alone") as raised:
        understand(subject, ("float64",))
    declared = {"lengths": "equal", "mask": "additive", "mask_shape": "[Tq, Tk]"}
    assert raised.value.declaration == declared
    found = verify(
        subject, dtypes="float64", contract=Contract(**declared), properties=("oracle.*", "masks.*", "numbers.large_*")
    )
    assert found, str(found)


@pytest.mark.parametrize("wrong", ["CutAndKeysOfTheQuery", "Transposed"])
def test_no_bug_is_explained_by_it(wrong: str) -> None:
    assert fails(f"{__file__}:{wrong}")
