"""A module that computes in float32 inside though its option for that is off."""

import pytest

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from tests.helpers.layers import Layers


class Casts(Layers):
    def __init__(self, num_heads: int, d_model: int, upcast_attention: bool = False) -> None:
        super().__init__(num_heads, d_model)
        self.casts = not upcast_attention

    def forward(self, query, **more):
        q, k, v = (f(query).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        s = (q.float() @ k.float().mT).to(q) if self.casts else q @ k.mT
        return self.o(((s * self.scale).softmax(-1) @ v).transpose(1, 2).flatten(2))


class CastsWithoutAnOption(Casts):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)


class DoesNotCast(Casts):
    def __init__(self, num_heads: int, d_model: int, upcast_attention: bool = False) -> None:
        super().__init__(num_heads, d_model, not upcast_attention)


def test_a_cast_against_an_option_is_a_question() -> None:
    with pytest.raises(Question, match="though upcast_attention is off") as raised:
        understand(f"{__file__}:Casts")
    assert raised.value.declaration == {"float64_in": "float32"}
    contract = raised.value.declaration
    assert verify(f"{__file__}:Casts", contract=contract, dtypes="float64", properties="oracle.output_*")
    assert understand(f"{__file__}:CastsWithoutAnOption").contract.float64_in == "float32"
    assert understand(f"{__file__}:DoesNotCast").contract.float64_in == "float64"


def test_further_arguments_of_a_call_are_named_as_not_judged() -> None:
    assert "arguments of the call in **more" in understand(f"{__file__}:DoesNotCast").not_judged
