"""Tokens in other layouts: what a module is given is like a tensor that its caller makes, whatever size an axis has."""

from typing import get_args

import pytest
import torch

from mhsa.records.conventions.values import FUNCTION_LAYOUTS, Layout
from mhsa.subject.forms.token_layout import TokenLayout


@pytest.mark.parametrize("layout", [layout for layout in get_args(Layout) if layout not in FUNCTION_LAYOUTS])
@pytest.mark.parametrize("tokens", [1, 6])
@pytest.mark.parametrize("batch", [1, 3])
def test_strides_are_those_of_a_new_tensor(layout: Layout, tokens: int, batch: int) -> None:
    """With the strides that a transposed axis of size 1 keeps, torch's GroupNorm crashes in its backward pass."""
    given = torch.randn(batch, tokens, 5, dtype=torch.float64)
    laid = TokenLayout(layout).give(given, given, given)[0]
    assert laid.stride() == torch.empty(laid.shape).stride()
    returned = given if TokenLayout(layout).returns_tokens else laid
    assert torch.equal(TokenLayout(layout).take(returned), given)
