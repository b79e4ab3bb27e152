"""A second width with the name of d_model, that the source multiplies by the number of heads: it is that of a head."""

from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify


class OfHeads(nn.Module):
    def __init__(self, input_size, heads, embed_size):
        super().__init__()
        self.h, self.e = heads, embed_size
        self.q, self.k, self.v = (nn.Linear(input_size, self.e * heads, bias=False) for _ in range(3))

    def scale(self) -> int:
        return self.e

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (self.h, self.e)).transpose(1, 2) for f in (self.q, self.k, self.v))
        return ((q @ k.mT / self.scale() ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)


class ScaledByHeads(OfHeads):
    def scale(self) -> int:
        return self.h


def test_it_is_given_the_width_of_a_head() -> None:
    subject = f"{__file__}:OfHeads"
    module = understand(subject, ("float64",)).adapter.build(4, 20)
    assert (module.e, module.q.weight.shape) == (5, (20, 20))
    assert verify(subject, dtypes="float64", properties=("oracle.*", "construction.*"))


def test_a_bug_is_found_so() -> None:
    assert verify(f"{__file__}:ScaledByHeads", dtypes="float64", properties="oracle.*").verdict == "violated"
