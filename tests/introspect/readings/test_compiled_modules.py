"""A ``torch.jit.ScriptModule`` is read by the functions that it compiles."""

import warnings

import pytest
import torch
from torch import nn

from mhsa.introspect.resolve import understand
from tests.helpers.layers import fails

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # torch would rather have other compilers used

    class Compiled(torch.jit.ScriptModule):
        def __init__(self, num_heads: int, d_model: int) -> None:
            super().__init__()
            assert d_model % num_heads == 0
            self.num_heads, self.d_k, self.factor = num_heads, d_model // num_heads, 1.0
            self.prepare()
            self.layers = nn.ModuleList([nn.Linear(d_model, d_model) for _ in range(4)])

        def prepare(self) -> None:
            pass

        @torch.jit.script_method
        def forward(self, query, key, value, mask):
            batch = query.size(0)
            q, k, v = [
                f(x).view(batch, -1, self.num_heads, self.d_k).transpose(1, 2)
                for f, x in zip(self.layers, (query, key, value))  # noqa: B905 - the compiler knows no more
            ]
            s = torch.matmul(q, k.transpose(-2, -1)) / (self.factor * self.d_k**0.5)
            if mask is not None:
                s = s.masked_fill(mask == 0, -1e9)
            z = torch.matmul(s.softmax(-1), v).transpose(1, 2).contiguous().view(batch, -1, self.num_heads * self.d_k)
            return self.layers[-1](z)


class CompiledWithHalfTheScale(Compiled):
    def prepare(self) -> None:
        self.factor = 2.0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_module_is_read_and_judged() -> None:
    subject = understand(f"{__file__}:Compiled", ("float64",))
    assert subject.contract.mask_shape == "[B, 1, Tq, Tk]"
    assert not fails(f"{__file__}:Compiled")
    assert fails(f"{__file__}:CompiledWithHalfTheScale")
