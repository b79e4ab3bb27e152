"""Two calls at once: one that fails only while its operations are counted is not judged by that, and no error of mhsa."""

import torch
from torch import nn
from torch.overrides import handle_torch_function, has_torch_function

from mhsa.judge.verification import verify

TWO_THREADS = "purity.two_threads_do_not_disturb_each_other"


def attend(q, k, v, factor=None):
    """Like a copy of torch's own functions that somebody gave another argument."""
    if has_torch_function((q, k, v)):
        return handle_torch_function(attend, (q, k, v), q, k, v)
    return (q @ k.mT * factor).softmax(-1) @ v


class Copied(nn.Module):
    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError("no multiple")
        self.num_heads = num_heads
        self.q, self.k, self.v, self.out = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        layers = (self.q, query), (self.k, key), (self.v, value)
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in layers)
        return self.out(attend(q, k, v, q.size(-1) ** -0.5).transpose(1, 2).flatten(2))


def test_what_forgets_arguments_while_it_is_watched_is_not_judged_by_that() -> None:
    found = verify(Copied, dtypes="float64", properties=("oracle.output_without_mask", TWO_THREADS))
    outcomes = {p.id: (p.outcome, p.reason) for p in found.properties}
    assert outcomes["oracle.output_without_mask"][0] == "pass"
    assert outcomes[TWO_THREADS][0] == "not-applicable"
    assert "with that it raises TypeError" in outcomes[TWO_THREADS][1]
