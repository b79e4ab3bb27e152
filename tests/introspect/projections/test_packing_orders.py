"""Packed maps in every order of einops: the roles, the heads and the features of a head in one axis."""

import itertools

import pytest
import torch
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question

ORDERS = ["".join(letters) for letters in itertools.permutations("khd")]  # outermost first; k is the role


class Packed(nn.Module):
    order = "khd"

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads, self.scale = num_heads, (d_model // num_heads) ** -0.5
        self.to_qkv, self.out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)

    def forward(self, x):
        sizes = {"k": 3, "h": self.num_heads, "d": x.size(-1) // self.num_heads}
        # as rearrange(x, "b t (k h d) -> k b h t d") would, and in every other order
        laid = self.to_qkv(x).unflatten(-1, [sizes[letter] for letter in self.order])
        q, k, v = torch.einsum(f"bt{self.order}->kbhtd", laid)
        return self.out(self.attend(q, k, v).transpose(1, 2).flatten(2))

    def attend(self, q, k, v):
        return (q @ k.mT * self.scale).softmax(-1) @ v


class SharesItsSoftmax(Packed):
    def attend(self, q, k, v):
        return (q @ k.mT * self.scale).softmax(1) @ v


for _order in ORDERS:
    globals()[f"Packed_{_order}"] = type(f"Packed_{_order}", (Packed,), {"order": _order})
    globals()[f"Wrong_{_order}"] = type(f"Wrong_{_order}", (SharesItsSoftmax,), {"order": _order})


@pytest.mark.parametrize("order", ["khd", "hkd", "hdk", "dkh"])
def test_an_order_that_the_gradients_show_is_read(order: str) -> None:
    assert verify(f"{__file__}:Packed_{order}", dtypes="float64", properties="oracle.output_*")


@pytest.mark.parametrize("order", ["kdh", "dhk"])
def test_an_order_with_the_heads_inside_of_a_role_is_a_question_and_holds_as_declared(order: str) -> None:
    with pytest.raises(Question) as raised:
        understand(f"{__file__}:Packed_{order}")
    assert raised.value.declaration == {"heads": "interleaved-where-split"}
    found = verify(
        f"{__file__}:Packed_{order}", contract=raised.value.declaration, dtypes="float64",
        properties=("oracle.*", "gradients.gradients_of_parameters", "heads.*"),
    )  # fmt: skip
    assert found, str(found)


@pytest.mark.parametrize("order", ORDERS)
def test_no_order_explains_another_bug_away(order: str) -> None:
    found = verify(f"{__file__}:Wrong_{order}", dtypes="float64", properties="oracle.output_*")
    assert found.verdict == "violated", found


def test_separate_maps_are_not_read_so() -> None:
    """Heads that are split in one order and merged in another are a slip where the maps are not packed."""
    found = verify(f"{__file__}:Separate", dtypes="float64", properties="oracle.output_*")
    assert found.verdict == "violated", found


class Separate(nn.Module):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (-1, self.num_heads)).permute(0, 3, 1, 2) for f in (self.q, self.k, self.v))
        s = q @ k.mT / q.size(-1) ** 0.5
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))
