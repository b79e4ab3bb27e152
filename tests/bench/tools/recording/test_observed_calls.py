"""Which calls of attention are kept, with which sizes; of attentions within each other, the innermost."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mhsa.bench.tools.recording.observed_calls import CallObserver, ObservedCall

X = torch.ones(2, 5, 12)


class OwnAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.n_heads = 3
        self.q = nn.Linear(12, 12)

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        return self.q(x)


class Nameless(OwnAttention):
    def __init__(self) -> None:
        super().__init__()
        del self.n_heads


class Cached(OwnAttention):
    def forward(self, x: Tensor, *_: object) -> Tensor:  # type: ignore[override]
        q = self.q(x).view(2, -1, 3, 4).transpose(1, 2)
        k = torch.ones(2, 3, 64, 4)
        return functional.scaled_dot_product_attention(q, k, k).transpose(1, 2).flatten(2)


@pytest.fixture
def observer() -> Iterator[CallObserver]:
    function, call = functional.scaled_dot_product_attention, nn.Module.__call__
    found = CallObserver()
    found.install()
    yield found
    found.remove()
    assert functional.scaled_dot_product_attention is function
    assert nn.Module.__call__ is call


def only(observer: CallObserver) -> ObservedCall:
    (call,) = observer.calls
    return call


def test_torchs_function(observer: CallObserver) -> None:
    q, k = torch.ones(2, 3, 1, 4), torch.ones(2, 3, 7, 4, requires_grad=True)
    functional.scaled_dot_product_attention(q, k, k, attn_mask=torch.ones(2, 1, 1, 7, dtype=torch.bool))
    assert only(observer) == ObservedCall(2, 1, 7, 3, 4, "float32", "bool [B, 1, 1, Tk]", False, True)
    observer.calls.clear()
    with torch.no_grad():
        functional.scaled_dot_product_attention(k.half(), k.half(), k.half(), is_causal=True)
    assert only(observer) == ObservedCall(2, 7, 7, 3, 4, "float16", "", True, False)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_torchs_module_once_whichever_way_it_takes(observer: CallObserver, need_weights: bool, batch_first: bool) -> None:
    module = nn.MultiheadAttention(12, 3, batch_first=batch_first)
    keys = torch.ones(2, 7, 12)
    query, keys = (X, keys) if batch_first else (X.transpose(0, 1), keys.transpose(0, 1))
    module(query, keys, keys, attn_mask=torch.zeros(5, 7, dtype=torch.bool), need_weights=need_weights)
    found = only(observer)
    assert (found.batch, found.queries, found.keys, found.heads, found.width) == (2, 5, 7, 3, 4)
    assert found.training
    assert observer.calls.total() == 1
    assert found.mask.endswith("Tq, Tk]")


def test_a_layer_of_torch_in_eval_mode_is_seen_too(observer: CallObserver) -> None:
    layer = nn.TransformerEncoderLayer(12, 3, batch_first=True).eval()
    with torch.no_grad():
        layer(X)
    assert (only(observer).queries, only(observer).training) == (5, False)


def test_a_module_that_is_called_attention(observer: CallObserver) -> None:
    module = OwnAttention().requires_grad_(False)
    module(X, mask=torch.ones(2, 5, 5, dtype=torch.bool))
    module(X, context=torch.ones(2, 9, 12))
    assert list(observer.calls) == [
        ObservedCall(2, 5, 5, 3, 4, "float32", "bool [B, Tq, Tk]"), ObservedCall(2, 5, 9, 3, 4, "float32"),
    ]  # fmt: skip


def test_the_innermost_counts_with_the_keys_that_it_really_has(observer: CallObserver) -> None:
    nn.Sequential(Cached())(X[:, :1])
    assert (only(observer).queries, only(observer).keys, observer.calls.total()) == (1, 64, 1)


def test_one_without_heads_is_said(observer: CallObserver) -> None:
    model = nn.Module()
    model.self_attn, model.other = Nameless(), Nameless()
    model.forward = lambda x: model.other(model.self_attn(x))  # type: ignore[method-assign]
    model(X)
    assert (dict(observer.calls), dict(observer.unclear)) == ({}, {"Nameless": 1}), "known by its name in the model"
