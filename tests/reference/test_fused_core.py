"""The fast core: the reference's results, in memory that grows with the length and not with its square."""

import copy
import itertools
import pickle
import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mhsa import MultiHeadAttention, fused_attention, self_attention
from mhsa.commands.cli import main
from mhsa.reference.blocks import ROWS
from mhsa.reference.core_slot import fit_slot
from mhsa.reference.exact_core import attention_weights
from tests.helpers.saved_memory import Saved

LENGTH = ROWS + 44  # two blocks, the second one shorter


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def pair(dropout: float = 0.0, *, causal: bool = False) -> tuple[MultiHeadAttention, MultiHeadAttention]:
    fused = MultiHeadAttention(4, 16, dropout, attention=fused_attention, causal=causal).double().eval()
    reference = MultiHeadAttention(4, 16, dropout, causal=causal).double().eval()
    reference.load_state_dict(fused.state_dict())
    return fused, reference


def masks(length: int) -> dict[str, Tensor | None]:
    rows = draw(2, length, length, seed=3) > 0
    rows[0, 5] = False  # a row without keys
    rows[1, :, 0] = True
    return {
        "none": None,
        "[B, Tq, Tk]": rows,
        "[Tq, Tk]": rows[1],
        "[B, 1, Tk]": rows[:, 6:7],
        "[B, H, Tq, Tk]": torch.stack([rows, ~rows, rows, rows], dim=1),
        "integers": rows.int(),
    }


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-10, atol=1e-12)  # float64: thousands of roundings away from a wrong mask


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", masks(8))
def test_output_gradients_and_weights_are_the_references(kind: str, causal: bool) -> None:
    fused, reference = pair(causal=causal)
    x, mask = draw(2, LENGTH, 16), masks(LENGTH)[kind]
    with torch.no_grad():
        assert close(fused(x, x, x, mask), reference(x, x, x, mask))
        assert fused.attn is not None
        assert close(fused.attn, reference.attn)
    gradients = []
    for module in (fused, reference):
        leaf = x.clone().requires_grad_(True)
        out = module(leaf, leaf, leaf, mask)
        loss = out.sin().sum() + module.attn.sin().sum()
        gradients.append(torch.autograd.grad(loss, [leaf, *module.parameters()]))
    assert all(itertools.starmap(close, zip(*gradients, strict=True)))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", ["none", "[B, Tq, Tk]", "[B, 1, Tk]"])
@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_what_is_dropped_is_dropped_in_output_gradients_and_weights_alike(kind: str, causal: bool, rate: float) -> None:
    fused, _ = pair(rate, causal=causal)
    fused.train()
    x, mask = draw(2, LENGTH, 16).requires_grad_(True), masks(LENGTH)[kind]
    out = fused(x, x, x, mask)
    weights = fused.attn
    value = fused.linear_value(x).view(2, LENGTH, 4, 4).transpose(1, 2)
    again = fused.linear_out((weights @ value).transpose(1, 2).reshape(2, LENGTH, 16))
    assert close(out, again)
    leaves = [x, *fused.parameters()]
    first, second = (
        torch.autograd.grad(o.sin().sum(), leaves, retain_graph=True, materialize_grads=True) for o in (out, again)
    )
    assert all(itertools.starmap(close, zip(first, second, strict=True)))
    if rate == 1.0:
        assert not weights.any()
    elif kind == "none" and not causal:  # half a million independent events: five standard deviations are 0.0025
        assert abs((weights == 0).double().mean() - rate) < 0.0025


@pytest.mark.parametrize("dtypes", [("float64", "float32"), ("bfloat16", "float16")], ids="+".join)
def test_it_holds_every_property(dtypes: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "mhsa:fused_attention", *(x for dtype in dtypes for x in ("--dtype", dtype)), "--no-color"]) == 0
    count = re.search(r"(\d+)\s+properties\s+on", capsys.readouterr().out)
    assert int(count[1]) > 80  # of some 110; the half formats have fewer


def test_two_calls_drop_differently_and_a_seed_repeats_them() -> None:
    q = draw(1, 2, 40, 8)
    torch.manual_seed(1)
    first, second = fused_attention(q, q, q, 0.5)[0], fused_attention(q, q, q, 0.5)[0]
    torch.manual_seed(1)
    assert not torch.equal(first, second)
    assert torch.equal(fused_attention(q, q, q, 0.5)[0], first)


def test_weights_are_computed_once_and_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("mhsa.reference.fused_core.attention_weights", lambda *a: calls.append(a) or attention_weights(*a))
    fused, _ = pair()
    fused(*[draw(1, 5, 16)] * 3)
    assert not calls
    assert fused.attn is fused.attn
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("dropout", "causal", "padded"), [(0.0, False, False), (0.0, True, False), (0.0, True, True), (0.3, False, True)]
)
def test_what_is_kept_for_the_backward_pass_grows_with_the_length(dropout: float, causal: bool, padded: bool) -> None:
    kept = []
    for length in (ROWS, 4 * ROWS):
        q, k, v = (draw(1, 2, length, 8, seed=n).requires_grad_(True) for n in range(3))
        mask = (torch.arange(length) < length - 3).view(1, 1, 1, length) if padded else None
        with Saved() as saved:
            z, _ = fused_attention(q, k, v, dropout, mask, causal=causal)
        z.sum().backward()
        kept.append(sum(saved.kept.values()))
    assert kept[0] < kept[1] < 5 * kept[0]


def test_causal_makes_no_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    plain = functional.scaled_dot_product_attention
    monkeypatch.setattr(functional, "scaled_dot_product_attention", lambda *a, **k: seen.append((a[3:], k)) or plain(*a, **k))
    q = draw(1, 2, 6, 8)
    fused_attention(q, q, q, causal=True)
    assert seen == [((None, 0.0, True), {})]


@pytest.mark.parametrize("keys", [0, 3, 9])
def test_causal_counts_from_the_first_key(keys: int) -> None:
    q, k = draw(1, 2, 5, 8), draw(1, 2, keys, 8, seed=1)
    mask = torch.ones(5, keys, dtype=torch.bool).tril()
    z, weights = fused_attention(q, k, k, causal=True)
    expected = self_attention(q, k, k, None, mask)
    assert close(z, expected[0])
    assert close(weights(), expected[1])


@pytest.mark.parametrize(
    ("attention", "rate"),
    [
        (functional.scaled_dot_product_attention, 0.0),
        (self_attention, 0.0),
        (lambda query, key, value, mask=None: self_attention(query, key, value, None, mask)[0], 0.0),
        (lambda q, k, v, is_causal=False: fused_attention(q, k, v, causal=is_causal)[0], 0.0),
    ],
    ids=["torch", "reference", "mask", "switch"],
)
def test_every_slot_can_be_causal(attention: object, rate: float) -> None:
    q = draw(1, 2, 6, 8)
    z, _ = fit_slot(attention, rate, causal=True)(q, q, q, nn.Dropout(rate), None)
    assert close(z, fused_attention(q, q, q, causal=True)[0])


def test_a_slot_that_cannot_be_causal_says_so() -> None:
    with pytest.raises(ValueError, match="takes neither a mask nor causal, so it cannot be causal; use causal=False"):
        fit_slot(lambda query, key, value: query, causal=True)


@pytest.mark.parametrize("dropout", [-0.1, 1.5])
def test_a_dropout_that_is_no_probability(dropout: float) -> None:
    q = draw(1, 2, 6, 8)
    with pytest.raises(ValueError, match=r"must be a probability in \[0, 1\]"):
        fused_attention(q, q, q, dropout)


class TestPacking:
    def packed(self, module: MultiHeadAttention, *, training: bool = False) -> bool:
        linears = (module.linear_query, module.linear_key, module.linear_value)
        x = draw(1, 2, 16, dtype=module.linear_out.weight.dtype)
        with torch.set_grad_enabled(training):
            return module._packed is not None and module._packed.project(linears, x) is not None

    def count(self, module: MultiHeadAttention, *x: Tensor, training: bool = False) -> int:
        with torch.profiler.profile() as profile, torch.set_grad_enabled(training):
            module(*x)
        return sum(e.count for e in profile.key_averages() if e.key == "aten::linear")

    @pytest.mark.parametrize("training", [False, True])
    def test_one_product_does_the_work_of_three(self, *, training: bool) -> None:
        fused, reference = pair()
        x = draw(2, 5, 16)
        assert self.count(fused, x, x, x, training=training) == 2
        assert self.count(fused, x, x.clone(), x, training=training) == 4
        assert self.count(reference, x, x, x, training=training) == 4

    def test_in_training_not_where_putting_wide_weights_together_costs_more(self) -> None:
        module = MultiHeadAttention(8, 512, 0.0, attention=fused_attention)
        x = draw(1, 2, 512, dtype=torch.float32)
        assert (self.count(module, x, x, x), self.count(module, x, x, x, training=True)) == (2, 4)

    def test_gradients_are_those_of_three(self) -> None:
        module, x = pair()[0], draw(2, 5, 16).requires_grad_()
        module.linear_key.weight.requires_grad_(False)
        seen: list[Tensor] = []
        module.linear_value.bias.register_hook(seen.append)
        leaves = [x, *(p for p in module.parameters() if p.requires_grad)]
        one = torch.autograd.grad(module(x, x, x).square().sum(), leaves)
        three = torch.autograd.grad(module(x, x.clone(), x).square().sum(), leaves)
        assert all(torch.allclose(a, b, rtol=1e-12, atol=1e-13) for a, b in zip(one, three, strict=True))
        assert len(seen) == 2

    @pytest.mark.parametrize("move", [lambda m: m.float(), copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
    def test_copies_and_moved_modules_are_packed_too(self, move: object) -> None:
        module = move(pair()[0])
        assert self.packed(module)
        x = draw(1, 3, 16, dtype=module.linear_out.weight.dtype)
        with torch.no_grad():
            module.linear_key.weight.mul_(2.0)  # in place, as an optimizer does
            assert torch.allclose(module(x, x, x), module(x, x.clone(), x), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize(
        "change",
        [
            lambda m: setattr(m.linear_key, "weight", nn.Parameter(m.linear_key.weight.detach() * 2)),
            lambda m: setattr(m.linear_value.bias, "data", m.linear_value.bias.data + 1),
            lambda m: m.linear_query.register_forward_hook(lambda module, args, out: out + 1),
            lambda m: setattr(m, "linear_value", nn.Sequential(m.linear_value, nn.Tanh())),
            lambda m: setattr(m.linear_key, "bias", None),
            lambda m: nn.utils.parametrizations.orthogonal(m.linear_query),
        ],
        ids=["replaced", "data", "hook", "class", "no bias", "parametrised"],
    )
    def test_what_was_changed_is_called_and_not_read(self, change: object) -> None:
        module, x = pair()[0], draw(2, 5, 16)
        moved = module.linear_value.bias.data_ptr()
        change(module)
        assert not self.packed(module)
        bias = getattr(module.linear_value, "bias", None)  # in training it is read where it is now
        assert self.packed(module, training=True) == (bias is not None and bias.data_ptr() != moved)
        for training in (False, True):
            with torch.set_grad_enabled(training):
                assert close(module(x, x, x), module(x, x.clone(), x))

    def test_a_hook_on_every_module_is_called(self) -> None:
        module, x, called = pair()[0], draw(2, 5, 16), []
        handle = nn.modules.module.register_module_forward_hook(lambda layer, args, out: called.append(layer))
        try:
            for training in (False, True):
                assert not self.packed(module, training=training)
                with torch.set_grad_enabled(training):
                    module(x, x, x)
        finally:
            handle.remove()
        assert called.count(module.linear_key) == 2

    def test_the_reference_is_left_as_it_is(self) -> None:
        assert not self.packed(pair()[1])

    def test_a_state_dict_keeps_them_packed_and_an_optimizer_trains_them(self) -> None:
        fused, reference = pair()
        other, _ = pair()
        other.load_state_dict(fused.state_dict())
        x = draw(2, 5, 16)
        for module in (other, reference):
            optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
            for _ in range(3):
                optimizer.zero_grad()
                module(x, x, x).square().sum().backward()
                optimizer.step()
        assert self.packed(other)
        with torch.no_grad():
            assert torch.allclose(other(x, x, x), reference(x, x, x), rtol=1e-6)
