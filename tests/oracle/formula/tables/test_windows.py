"""The rows of a window's table: against loops over places, and gradients against autograd."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mhsa.oracle import attention as oracle
from mhsa.oracle import gradients as backward
from mhsa.oracle.formula.bias_fields import BiasTable
from mhsa.oracle.formula.bias_table import usual_count, words
from mhsa.oracle.formula.formula import Formula
from mhsa.oracle.formula.tables.windows import COUNT, HEIGHT, WIDTH, places, rows_of, window_of
from mhsa.oracle.precision import PRECISIONS

SWIN = BiasTable(rule="swin")


@pytest.mark.parametrize(
    ("tokens", "window"), [(1, (1, 1)), (4, (2, 2)), (5, (1, 5)), (6, (3, 2)), (8, (2, 4)), (9, (3, 3)), (257, (1, 257))]
)
def test_a_window_has_so_many_tokens(tokens: int, window: tuple[int, int]) -> None:
    assert window_of(tokens) == window


def test_a_window_that_is_too_wide_is_refused() -> None:
    with pytest.raises(ValueError, match="a window of 1024 tokens, 2 x 512, is wider than 260"):
        window_of(1024)


@pytest.mark.parametrize("tokens", [1, 2, 4, 5, 6, 8, 9, 15])
def test_rows_are_those_of_the_rule(tokens: int) -> None:
    """A window's own table at (dy + h - 1) (2 w - 1) + dx + w - 1 is where the largest one's is that ``places`` says."""
    h, w = window_of(tokens)
    rows = rows_of((h, w))
    assert rows.shape == ((2 * h - 1) * (2 * w - 1),)
    assert len(set(rows.tolist())) == len(rows)
    found = places(tokens)
    for i in range(tokens):
        for j in range(tokens):
            dy, dx = i // w - j // w, i % w - j % w
            assert found[i, j] == rows[(dy + h - 1) * (2 * w - 1) + dx + w - 1]


def test_the_largest_window_has_the_whole_table() -> None:
    assert rows_of((HEIGHT, WIDTH)).tolist() == list(range(COUNT))
    assert (usual_count(SWIN), usual_count(BiasTable())) == (COUNT, 32)
    assert "offset in a window" in words(SWIN)


def test_other_lengths_of_keys_are_refused() -> None:
    x = np.ones((1, 2, 4)), np.ones((1, 3, 4)), np.ones((1, 3, 4))
    maps = [oracle.Linear(np.eye(4))] * 4
    with pytest.raises(ValueError, match="as many queries as keys"):
        oracle.multi_head(
            *x, oracle.ProjectionWeights(*maps, table=np.zeros((COUNT, 2))), 2, None, PRECISIONS["float64"],
            formula=Formula(bias=SWIN),
        )  # fmt: skip


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_output_and_gradients_are_within_their_bounds(dtype: str) -> None:
    t, head, d = getattr(torch, dtype), 2, 3
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(t)

    for tokens in (6, 8):
        x, maps, table, start = draw(2, tokens, 6), [draw(6, 6) for _ in range(4)], draw(COUNT, head), draw(2, tokens, 6)
        leaves = [leaf.clone().requires_grad_() for leaf in (x, *maps, table)]
        q, k, v = (F.linear(leaves[0], w).unflatten(-1, (head, d)).transpose(1, 2) for w in leaves[1:4])
        s = q @ k.mT / d**0.5 + leaves[5][torch.from_numpy(places(tokens))].permute(2, 0, 1)
        output = F.linear((s.softmax(-1) @ v).transpose(1, 2).flatten(2), leaves[4])
        found = torch.autograd.grad(output, leaves, start)
        arrays = [w.double().numpy() for w in maps]
        p = oracle.ProjectionWeights(*map(oracle.Linear, arrays), table=table.double().numpy())
        inputs = [x.double().numpy()] * 3
        result = oracle.multi_head(*inputs, p, head, None, PRECISIONS[dtype], formula=Formula(bias=SWIN))
        must = backward.gradients(result, PRECISIONS[dtype], start.double().numpy())
        of_input = backward.tied(PRECISIONS[dtype], [must.query, must.key, must.value])
        for got, bounded in (
            (output.detach(), result.output),
            (found[0], of_input),
            (found[5], must.parameters["table"]),
        ):
            assert (np.abs(got.double().numpy() - bounded.value) <= bounded.error).all()
