"""Parameters whose names say little: biases called b, and heads in lists that are each as wide as the module."""

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import SubjectError
from tests.helpers.layers import fails


class OfOneTensor(nn.Module):
    """Weights [3, D, H, d] and biases [3, H, d] of three maps in one."""

    def __init__(self, D: int, H: int) -> None:
        super().__init__()
        assert D % H == 0
        self.W, self.b = nn.Parameter(torch.randn(3, D, H, D // H)), nn.Parameter(torch.zeros(3, H, D // H))
        self.Wo, self.bo = nn.Parameter(torch.randn(H, D // H, D)), nn.Parameter(torch.zeros(D))

    def forward(self, x):
        q, k, v = torch.einsum("btD,pDhd->pbhtd", x, self.W) + self.b[:, None, :, None]
        return torch.einsum("bhtd,hdD->btD", self.attend(q, k, v), self.Wo) + self.bo

    def attend(self, q, k, v):
        return (q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v


class OfOneTensorAndKeysForValues(OfOneTensor):
    def attend(self, q, k, v):
        return super().attend(q, k, k)


class WideHeads(nn.Module):
    """Each head is as wide as the module, and has layers of its own."""

    def __init__(self, dim: int, nhead: int) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v = (nn.ModuleList([nn.Linear(dim, dim) for _ in range(nhead)]) for _ in range(3))
        self.w_o, self.factor = nn.Linear(nhead * dim, dim), self.scale(dim)

    def scale(self, dim):
        return dim**-0.5

    def forward(self, x):
        heads = [
            (q(x) @ k(x).mT * self.factor).softmax(-1) @ v(x) for q, k, v in zip(self.to_q, self.to_k, self.to_v, strict=True)
        ]
        return self.w_o(torch.cat(heads, dim=-1))


class WideHeadsUnscaled(WideHeads):
    def scale(self, dim):
        return 1.0


def test_a_bias_belongs_to_the_only_map_that_it_has_the_shape_for() -> None:
    assert understand(f"{__file__}:OfOneTensor")
    found = verify(f"{__file__}:OfOneTensor", dtypes="float64", properties=("oracle.*", "gradients.gradients_of_parameters"))
    assert found, str(found)
    assert fails(f"{__file__}:OfOneTensorAndKeysForValues")


def test_heads_in_lists_may_be_as_wide_as_the_module() -> None:
    assert "query from to_q.#.weight" in dict(understand(f"{__file__}:WideHeads").notes)["parameters"]
    assert not fails(f"{__file__}:WideHeads")
    assert fails(f"{__file__}:WideHeadsUnscaled")


class ThereAndBack(nn.Module):
    """The map out of the heads has the letter of the query, as the first one has."""

    def __init__(self, dim: int, nhead: int) -> None:
        super().__init__()
        assert dim % nhead == 0
        self.nhead = nhead
        self.linear_Q2d, self.linear_K2d, self.linear_V2d, self.linear_d2Q = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, Q, K, V):
        layers = (self.linear_Q2d, Q), (self.linear_K2d, K), (self.linear_V2d, V)
        q, k, v = (f(x).unflatten(-1, (self.nhead, -1)).transpose(1, 2) for f, x in layers)
        return self.linear_d2Q(((q @ k.mT / self.root(q)).softmax(-1) @ v).transpose(1, 2).flatten(2))

    def root(self, q):
        return q.size(-1) ** 0.5


class ThereAndBackUnscaled(ThereAndBack):
    def root(self, q):
        return 1.0


def test_of_two_maps_with_one_name_the_other_is_the_one_that_is_missing() -> None:
    said = dict(understand(f"{__file__}:ThereAndBack").notes)["parameters"]
    assert "query from linear_Q2d.weight" in said
    assert "out from linear_d2Q.weight" in said
    assert not fails(f"{__file__}:ThereAndBack")
    assert fails(f"{__file__}:ThereAndBackUnscaled")


class InAList(nn.Module):
    """Maps of queries, keys and values in a list, and an empty parameter that says where the module is."""

    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.where = nn.Parameter(torch.empty(0))
        self.num_heads, self.out_proj = num_heads, nn.Linear(d_model, d_model)
        self.maps = nn.ModuleList([nn.Linear(d_model, d_model) for _ in range(3)])

    def forward(self, query, key, value):
        given = zip(self.maps, self.inputs(query, key, value), strict=True)
        q, k, v = (f(x.to(self.where)).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in given)
        return self.out_proj(((q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))

    def inputs(self, query, key, value):
        return query, key, value


class InAListOfKeys(InAList):
    def inputs(self, query, key, value):
        return query, key, key


def test_an_empty_parameter_is_none_of_the_maps_and_values_of_keys_are_found() -> None:
    assert not fails(f"{__file__}:InAList")
    assert fails(f"{__file__}:InAListOfKeys")


class ALearnedKey(nn.Module):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(d_model, d_model) for _ in range(4))
        self.bias_k, self.bias_v = (nn.Parameter(torch.randn(1, 1, d_model)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        k, v = (
            torch.cat([f(x), one.expand(len(x), -1, -1)], 1)
            for f, one in ((self.k_proj, self.bias_k), (self.v_proj, self.bias_v))
        )
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in (self.q_proj(x), k, v))
        heads = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out_proj(heads.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def test_a_learned_key_is_no_second_bias() -> None:
    with pytest.raises(SubjectError, match=r"parameter bias_k \[1, 1, 20\] changes the result but is not part of plain"):
        understand(f"{__file__}:ALearnedKey")
