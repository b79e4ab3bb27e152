"""A finite number that hides masked keys: the oracle against torch, on scores on both sides of the number."""

import numpy as np
import pytest
import torch

from mhsa.oracle import attention as oracle
from mhsa.oracle import gradients as backward
from mhsa.oracle.attention import Linear, MultiHead, ProjectionWeights
from mhsa.oracle.formula.fields import Fill
from mhsa.oracle.formula.formula import PLAIN, Formula
from mhsa.oracle.precision import PRECISIONS

HEAD, D = 2, 3
SIZES = (1.0, 100.0, 118.0, 400.0)  # of queries and keys: scores are some of them, near -10000, and far below


def drawn(size: float, dtype: torch.dtype) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Return query, key, value, the weights of four maps, a mask of which one row is fully masked, and a gradient."""
    rng = np.random.default_rng(3)

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape)).to(dtype)

    x = [draw(2, length, HEAD * D) for length in (4, 5, 5)]
    x[0], x[1] = (x[0] * size).to(dtype), (x[1] * size).to(dtype)
    maps = [draw(HEAD * D, HEAD * D) / 2.0 for _ in range(4)]
    mask = torch.from_numpy(rng.random((2, 4, 5)) < 0.5)
    mask[:, :, 0] = True
    mask[0, 1] = False
    return x, maps, mask, draw(2, 4, HEAD * D)


def drawn_near(how: str) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
    """Return tokens, maps and a mask such that a masked key and the allowed ones have weights of one size."""
    x, maps, mask, _ = drawn(1.0, torch.float64)
    large = (10000.0 / (1.0 if how == "set" else 2.0) * D**0.5) ** 0.5
    maps[0] = maps[1] = torch.eye(HEAD * D, dtype=torch.float64)
    mask[:], mask[:, :, 4] = True, False
    x[0][..., ::D], x[1][..., ::D] = large, -large
    if how == "added":
        x[1][:, 4, ::D] = large
    return x, maps, mask


def computed(x: list[torch.Tensor], maps: list[torch.Tensor], mask: torch.Tensor, fill: Fill) -> torch.Tensor:
    q, k, v = (torch.nn.functional.linear(t, m).unflatten(-1, (HEAD, D)).transpose(1, 2) for t, m in zip(x, maps, strict=False))
    s, hidden = q @ k.mT / D**0.5, ~mask[:, None]
    s = s.masked_fill(hidden, fill.number) if fill.how == "set" else s + hidden.to(s.dtype) * fill.number
    return torch.nn.functional.linear((s.softmax(-1) @ v).transpose(1, 2).flatten(2), maps[3])


def required(x: list[torch.Tensor], maps: list[torch.Tensor], mask: torch.Tensor, formula: Formula, dtype: str) -> MultiHead:
    arrays = [t.detach().double().numpy() for t in x]
    weights = ProjectionWeights(*(Linear(m.detach().double().numpy()) for m in maps))
    return oracle.multi_head(*arrays, weights, HEAD, mask.numpy(), PRECISIONS[dtype], formula=formula)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("how", ["set", "added"])
@pytest.mark.parametrize("size", SIZES)
def test_output_and_gradients_are_within_their_bounds(size: float, how: str, dtype: str) -> None:
    fill = Fill(-10000.0, how)
    x, maps, mask, d_output = drawn(size, getattr(torch, dtype))
    leaves = [t.requires_grad_() for t in (*x, *maps)]
    output = computed(x, maps, mask, fill)
    output.backward(d_output)
    result = required(x, maps, mask, Formula(fill=fill), dtype)
    assert (np.abs(output.detach().double().numpy() - result.output.value) <= result.output.error).all()
    found = backward.gradients(result, PRECISIONS[dtype], d_output.double().numpy())
    named = (
        found.query,
        found.key,
        found.value,
        *(found.parameters[f"{role}.weight"] for role in ("query", "key", "value", "out")),
    )
    for leaf, bounded in zip(leaves, named, strict=True):
        assert (np.abs(leaf.grad.double().numpy() - bounded.value) <= bounded.error).all()


@pytest.mark.parametrize("how", ["set", "added"])
def test_the_number_matters_where_scores_come_near_it(how: str) -> None:
    x, maps, mask = drawn_near(how)
    found = [required(x, maps, mask, Formula(fill=Fill(number, how)), "float64").output for number in (-10000.0, -10001.0)]
    assert (np.abs(found[0].value - found[1].value) > found[0].error + found[1].error).any()


def test_within_the_fill_a_bound_is_that_of_plain_attention() -> None:
    """In half formats, too, where a distance of 10000 is known to no better than some hundred."""
    for dtype in ("float64", "bfloat16"):
        x, maps, mask, _ = drawn(1.0, getattr(torch, dtype))
        plain = required(x, maps, mask, PLAIN, dtype)
        for how in ("set", "added"):
            filled = required(x, maps, mask, Formula(fill=Fill(-10000.0, how)), dtype)
            rows = mask.any(-1).numpy()
            assert np.array_equal(filled.output.value[rows], plain.output.value[rows])
            assert np.array_equal(filled.output.error[rows], plain.output.error[rows])


@pytest.mark.parametrize("how", ["set", "added"])
def test_forward_mode_agrees_with_differences(how: str) -> None:
    x, maps, mask = drawn_near(how)
    weights = ProjectionWeights(*(Linear(m.numpy()) for m in maps))
    direction = [np.random.default_rng(n).standard_normal(t.shape) for n, t in enumerate(x)]

    def at(step: float) -> MultiHead:
        moved = [t.numpy() + step * d for t, d in zip(x, direction, strict=True)]
        return oracle.multi_head(
            *moved, weights, HEAD, mask.numpy(), PRECISIONS["float64"], formula=Formula(fill=Fill(-1e4, how))
        )

    step = 1e-6
    slope = (at(step).output.value - at(-step).output.value) / (2.0 * step)
    found = backward.derivative(at(0.0), PRECISIONS["float64"], *direction)
    assert np.abs(found.value).max() > 1.0
    assert np.allclose(found.value, slope, rtol=1e-3, atol=1e-3)
