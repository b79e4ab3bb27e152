"""What changes while a module lives, or with the sizes of a call: rates, copies, tiles, parts of keys, weights that train."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.subject.signature import call_of
from tests.helpers.layers import Layers

RATE = "dropout.dropout_comes_back_after_eval"
TILES = "dropout.each_weight_is_dropped_by_itself"
LONG = "numbers.long_sequences"
WEIGHTS = "gradients.gradient_through_the_weights"
COPIES = "copies.deep_copies"


class Dropping(Layers):
    """Without gradients it drops by another rate, which a user can change, too."""

    def __init__(self, num_heads: int, d_model: int, dropout: float = 0.1) -> None:
        super().__init__(num_heads, d_model)
        self.drop, self.attn_p = nn.Dropout(dropout), dropout

    def dropped(self, w: Tensor) -> Tensor:
        return self.drop(w) if torch.is_grad_enabled() else nn.functional.dropout(w, self.attn_p, self.training)

    def forward(self, x: Tensor) -> Any:
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        return self.o((self.dropped((q @ k.mT * self.scale).softmax(-1)) @ v).transpose(1, 2).flatten(2))


class NeverFollows(Dropping):
    """The rate of the constructor is meant for good: no call looks at the layer."""

    def __init__(self, num_heads: int, d_model: int, dropout: float = 0.1) -> None:
        super().__init__(num_heads, d_model, dropout)
        self._p = dropout

    def dropped(self, w: Tensor) -> Tensor:
        return nn.functional.dropout(w, self._p, self.training)


class ScaledByTheFirstRate(Dropping):
    """Nothing says that its rate may be changed: a factor is computed of it once."""

    def __init__(self, num_heads: int, d_model: int, dropout: float = 0.1) -> None:
        super().__init__(num_heads, d_model, dropout)
        self._left = 1.0 - dropout

    def dropped(self, w: Tensor) -> Tensor:
        return w * (torch.rand_like(w) >= self.drop.p) / max(self._left, 1e-3) if self.training else w


class Weighing(Layers):
    """Returns its weights, which are detached in training."""

    def forward(self, x: Tensor) -> Any:
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        w = (q @ k.mT * self.scale).softmax(-1)
        return self.o((w @ v).transpose(1, 2).flatten(2)), w.detach() if self.training else w


class HandsOn(nn.Module):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        self.inner = Dropping(num_heads, d_model)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)


class HandsOnOthers(HandsOn):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        args = tuple(-x for x in args)
        return self.inner(*args, **kwargs)


@pytest.mark.parametrize(
    ("spec", "identity", "verdict"),
    [
        ("mhsa.bugs.mutants.dropout:RateKeptForCallsWithoutGradients", RATE, "violated"),
        (f"{__file__}:ScaledByTheFirstRate", RATE, "holds"),
        (f"{__file__}:Dropping", RATE, "holds"),
        (f"{__file__}:NeverFollows", RATE, "holds"),
        ("mhsa.bugs.mutants.dropout:DropsTheSameInEachTile", TILES, "violated"),
        (f"{__file__}:Dropping", TILES, "holds"),
        ("mhsa.bugs.mutants.sizes:PartsOfKeysMergedAlike", LONG, "violated"),
        ("mhsa.bugs.mutants.gradients:WeightsDetachedInTraining", WEIGHTS, "violated"),
        ("mhsa.bugs.mutants.state:CopySharesWhatIsFrozen", COPIES, "violated"),
    ],
)
def test_it_is_found_and_the_right_ones_hold(spec: str, identity: str, verdict: str) -> None:
    found = verify(spec, profile="quick", dtypes="float64", properties=identity)
    assert found.verdict == verdict, str(found)


def test_weights_that_a_docstring_calls_detached_may_be_so_in_training() -> None:
    found = verify(f"{__file__}:Weighing", profile="quick", dtypes="float64", properties=(WEIGHTS, LONG))
    assert found.verdict == "holds", str(found)


def test_a_forward_that_hands_everything_on_is_read_as_what_takes_it() -> None:
    assert call_of(HandsOn) is Dropping.forward
    assert call_of(HandsOnOthers) is HandsOnOthers.forward
    assert understand(f"{__file__}:HandsOn", ("float64",)).adapter.inputs == "x"
