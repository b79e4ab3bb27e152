"""Names of parameters say which map they are, glued, in a wrapper, or with a word of what a map is."""

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.projections.role_names import named_roles, names_residual
from mhsa.introspect.questions import load_under
from mhsa.records.errors import SubjectError
from mhsa.records.request import Request


@pytest.mark.parametrize(
    ("path", "roles"),
    [
        ("qtrans.weight", ("query",)),
        ("vmap.weight", ("value",)),
        ("to_kv.weight", ("key", "value")),
        ("query_conv.out.weight", ("query",)),
        ("mem_conv.out.weight", ()),
        ("attention.out.weight", ("out",)),
        ("out_proj.weight", ("out",)),
        ("ffn.0.weight", ()),
    ],
)
def test_a_name_says_its_roles(path: str, roles: tuple[str, ...]) -> None:
    assert named_roles(path) == roles


@pytest.mark.parametrize(
    ("path", "is_one"),
    [("W_Res", True), ("skip.weight", True), ("residual_proj.weight", True), ("res1.weight", True), ("result.weight", False),
     ("pres.weight", False), ("out.weight", False)],
)  # fmt: skip
def test_names_of_residuals(path: str, is_one: bool) -> None:
    assert names_residual(path) == is_one


class AddsAMap(nn.Module):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.w_query, self.w_key, self.w_value, self.w_res = (nn.Linear(d_model, d_model, bias=False) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.w_query, self.w_key, self.w_value))
        heads = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return torch.relu(heads + self.w_res(x))


def test_the_map_of_a_residual_is_not_taken_for_the_out_projection() -> None:
    question = load_under(Request("a", f"{__file__}:AddsAMap")).subject
    assert isinstance(question, SubjectError)
    assert "which parameters are the out projection is not clear" in str(question)
