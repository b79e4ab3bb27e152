"""Other ways of testing on the same modules: how many known bugs each finds, and which right variants it calls wrong.

Every tool is given its best conditions: sizes that all differ, a module in eval mode filled with torch's own parameters,
tolerances as the library that is used has them. ``python -m mhsa.bugs.power.baselines FILE SUBJECT...`` writes one line of
JSON per subject.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.bugs.mutants.plain import Plain
from mhsa.introspect.load import load
from mhsa.subject.torch_settings import restored

_BATCH, _QUERIES, _KEYS, _HEAD, _WIDTH = 2, 10, 12, 4, 64
_VOCABULARY = 50


def _pair() -> tuple[nn.MultiheadAttention, Callable[[type[Plain]], Plain]]:
    """torch's module, and a function that gives another one the same parameters."""
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(_WIDTH, _HEAD, batch_first=True).eval()
    with torch.no_grad():
        for bias in (theirs.in_proj_bias, theirs.out_proj.bias):  # torch sets them to zero, where many bugs hide
            bias.normal_()

    def fill(kind: type[Plain]) -> Plain:
        ours = kind(_HEAD, _WIDTH, 0.1).eval()
        weights, biases = theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3)
        with torch.no_grad():
            for linear, weight, bias in zip((ours.w_q, ours.w_k, ours.w_v), weights, biases, strict=True):
                linear.weight.copy_(weight)
                linear.bias.copy_(bias)
            ours.w_o.load_state_dict(theirs.out_proj.state_dict())
        return ours

    return theirs, fill


def _tensors() -> list[Tensor]:
    sizes = (_BATCH, _QUERIES, _WIDTH), (_BATCH, _KEYS, _WIDTH), (_BATCH, _KEYS, _WIDTH)
    return [torch.randn(size, requires_grad=True) for size in sizes]


def allclose(kind: type[Plain]) -> None:
    """One comparison with torch.nn.MultiheadAttention: output without a mask, torch.testing's own tolerances."""
    theirs, fill = _pair()
    ours = fill(kind)
    query, key, value = _tensors()
    with torch.no_grad():
        torch.testing.assert_close(ours(query, key, value)[0], theirs(query, key, value)[0])


def allclose_with_mask_and_gradients(kind: type[Plain]) -> None:
    """The same with a random mask, in output, weights, and gradients of inputs and parameters."""
    theirs, fill = _pair()
    ours = fill(kind)
    mask = torch.rand(_BATCH, _QUERIES, _KEYS) < 0.7
    mask[..., 0] = True
    inputs = _tensors()
    out, weights = ours(*inputs, mask)
    blocked = ~mask.repeat_interleave(_HEAD, 0)
    required, required_weights = theirs(*inputs, attn_mask=blocked, average_attn_weights=False)
    torch.testing.assert_close(out, required)
    torch.testing.assert_close(weights, required_weights)
    start = torch.randn_like(required)
    linears = (ours.w_q, ours.w_k, ours.w_v)
    mine = torch.autograd.grad(
        out, [*inputs, *(m.weight for m in linears), *(m.bias for m in linears), *ours.w_o.parameters()], start
    )
    others = torch.autograd.grad(required, [*inputs, *theirs.parameters()], start)
    torch.testing.assert_close(mine[:3], others[:3])
    torch.testing.assert_close(torch.cat(mine[3:6]), others[3])
    torch.testing.assert_close(torch.cat(mine[6:9]), others[4])
    torch.testing.assert_close(mine[9:], others[5:])


def gradcheck(kind: type[Plain]) -> None:
    """torch.autograd.gradcheck, float64, with a mask, of inputs and parameters."""
    torch.manual_seed(0)
    module = kind(2, 4, 0.1).double().eval()
    names = [name for name, p in module.named_parameters() if p.requires_grad]
    parameters = [p.detach().clone().requires_grad_() for p in module.parameters() if p.requires_grad]
    query, key, value = (torch.randn(2, n, 4, dtype=torch.float64, requires_grad=True) for n in (3, 5, 5))
    mask = torch.rand(2, 3, 5) < 0.7
    mask[..., 0] = True

    def call(query: Tensor, key: Tensor, value: Tensor, *parameters: Tensor) -> Any:
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(module, given, (query, key, value, mask))[0]

    torch.autograd.gradcheck(call, (query, key, value, *parameters))


class _Reader(nn.Module):
    """Token ids through the attention, as pytest-torch's checks of padding and masks want a model to be."""

    def __init__(self, kind: type[Plain]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(_VOCABULARY, _WIDTH)
        self.attention = kind(_HEAD, _WIDTH, 0.1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.embedding(input_ids)
        mask = attention_mask.bool()[:, None].expand(-1, x.size(1), -1)
        result = self.attention(x, x, x, mask)
        out: Tensor = result[0] if isinstance(result, tuple) else result
        return out


def pytest_torch(kind: type[Plain]) -> None:
    """pytest-torch's inference contract (finite, deterministic, batch-invariant), padding and mask invariance."""
    library = importlib.import_module("pytest_torch")
    torch.manual_seed(0)
    model = _Reader(kind).eval()
    ids = torch.randint(_VOCABULARY, (4, _KEYS))
    lengths = torch.tensor([_KEYS, _KEYS - 5, _KEYS - 1, 3])
    inputs = {"input_ids": ids, "attention_mask": (torch.arange(_KEYS) < lengths[:, None]).long()}
    library.check_inference_contract(model, inputs)
    library.assert_padding_invariant(model, inputs)
    library.assert_mask_invariant(model, inputs, vocab_size=_VOCABULARY)


OTHER_TOOLS: dict[str, Callable[[type[Plain]], None]] = {
    "allclose": allclose,
    "allclose, mask, gradients": allclose_with_mask_and_gradients,
    "gradcheck": gradcheck,
    "pytest-torch": pytest_torch,
}


def available() -> list[str]:
    """Return the tools that are installed: pytest-torch comes with the extra ``power``."""
    return [name for name in OTHER_TOOLS if name != "pytest-torch" or importlib.util.find_spec("pytest_torch")]


def tools_that_fail(kind: type[Plain], names: list[str]) -> list[str]:
    """Return the tools that find the module wrong; a tool does so by raising."""
    failing = []
    for name in names:
        with restored():
            try:
                OTHER_TOOLS[name](kind)
            except KeyboardInterrupt:
                raise
            except BaseException:
                failing.append(name)
    return failing


def main() -> None:
    """Run every tool on every subject."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    file, *subjects = sys.argv[1:]
    names = available()
    with Path(file).open("a") as sink:
        for subject in subjects:
            sink.write(
                json.dumps({"subject": subject, "tools": names, "tools_that_fail": tools_that_fail(load(subject), names)})
                + "\n"
            )
            sink.flush()


if __name__ == "__main__":
    main()
