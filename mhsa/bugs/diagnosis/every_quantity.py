"""Everything about a module that is compared: it is called in every way, and each number that comes out is a quantity."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from mhsa.bugs.diagnosis.quantity import RAISES, Quantity
from mhsa.oracle.bounded import Array
from mhsa.subject import check
from mhsa.subject.answer import Answer, Differentiated
from mhsa.subject.memory_layout import numbers
from mhsa.subject.trial import Trial

RATE = 0.25  # of dropout; not one half, where the rate and its complement are the same
_MADE_GOOD = 1.0 / (1.0 - RATE) ** 2  # by how much two dropouts in a row magnify, rounding included


def quantities_of(trial: Trial, make: Callable[[], nn.Module]) -> Iterator[Quantity]:
    """Call a module in every way that is compared; what raises is a quantity, too.

    ``make`` gives another module of the same kind, which has not been put into eval mode yet.
    """
    # Keys made equal on purpose tie in a way of their own when they are queries too: which is the larger, rounding decides.
    apart = trial.case.tie == "none" and trial.case.data != "ties"
    apart = apart and trial.bias is None  # which has the sizes of the case
    summed = [_through_the_logarithm] if trial.subject.contract.lse is not None else []
    parts = [_call, _derivatives, *summed, _second_call, *([_shared] if apart else [])]
    for part in parts:
        yield from _guarded(part, trial)
    if trial.case.grad:  # a third of the cases; the other parts take most of the time
        views = [numbers(view.read()) for _, view in (*trial.views.views(), *trial.views.sources)]
        trial.use(make().to(device=trial.subject.device, dtype=trial.dtype))
        for (_, view), values in zip((*trial.views.views(), *trial.views.sources), views, strict=True):
            view.write(torch.from_numpy(values))
        trial.train()
        yield from _guarded(_training, trial, "")
        trial.module.eval()
        yield from _guarded(_call_between, trial)
        trial.train()
        yield from _guarded(_training, trial, " after eval")


def _guarded(part: Callable[..., Iterator[Quantity]], trial: Trial, *words: str) -> Iterator[Quantity]:
    names = {
        _call: "eval",
        _derivatives: "backward",
        _through_the_logarithm: "backward of the log-sum-exp",
        _second_call: "later call",
        _shared: "eval where query is key",
        _call_between: "later eval",
    }
    what = names.get(part, "training")
    try:
        yield from part(trial, *words)
    except check.Violation:
        yield Quantity(f"{what}{''.join(words)}{RAISES}", np.ones(()))
    except check.Inapplicable:  # a class of NumPy has no gradients: what is not there is not compared
        return


def _call(trial: Trial) -> Iterator[Quantity]:
    state = [t.detach().clone() for t in trial.module.state_dict().values()]
    answer = trial()
    drawn = _has_drawn(trial)
    yield Quantity("eval output", answer.output, lambda: _output_tolerance(answer))
    yield Quantity("eval output's bytes per number", np.array(answer.tensors[0].element_size()))
    if answer.weights is not None:
        yield Quantity("eval weights", answer.weights, lambda: _weights_tolerance(answer))
    if answer.lse is not None:
        yield Quantity("eval log-sum-exp", answer.lse, lambda: _logarithm_tolerance(answer))
    yield Quantity("eval random numbers drawn", np.array(drawn))
    for name, (tensor, before) in trial.arguments.items():
        changed = numbers(tensor)
        yield Quantity(f"later {name} written to", np.array(not np.array_equal(changed, before)))
    yield Quantity("later change of state", _changes(state, list(trial.module.state_dict().values())))


def _changes(before: list[Tensor], after: list[Tensor]) -> Array:
    """By how much numbers of the state changed, sorted: it may be stored in any way; infinite where there are others now."""
    pairs = list(zip(before, after, strict=False))
    if len(before) != len(after) or any(a.dtype != b.dtype or a.shape != b.shape for a, b in pairs):
        return np.full(1, np.inf)
    changes = [(numbers(b) - numbers(a)).ravel() for a, b in pairs if not torch.equal(a, b)]
    return np.sort(np.concatenate([c[c != 0.0] for c in changes])) if changes else np.zeros(0)


def _derivatives(trial: Trial) -> Iterator[Quantity]:
    differentiated = trial.differentiate(trial.cotangent(20, trial.case.output_shape))
    yield Quantity("eval output with autograd", differentiated.answer.output, lambda: _output_tolerance(differentiated.answer))
    for name, gradient in differentiated.observed.items():
        # What is added to all keys changes no weight: the gradient of their bias is zero, and what is seen of it is rounding.
        relative_to = _largest(differentiated.observed["key.weight"]) if name == "key.bias" else 0.0
        yield Quantity(
            f"backward gradient of {name}", gradient, functools.partial(_gradient_tolerance, differentiated, name), relative_to
        )


def _through_the_logarithm(trial: Trial) -> Iterator[Quantity]:
    """Gradients of a loss on the log-sum-exp alone, where one that is judged requires a gradient."""
    case = trial.case
    answer = trial.differentiate(trial.cotangent(20, case.output_shape)).answer
    if answer.tensors[2] is None or not answer.tensors[2].requires_grad or not answer.attended.all():
        return
    found = trial.differentiate(None, d_lse=trial.cotangent(22, (case.batch, case.head, case.query_length)))
    for name in ("query", "key"):
        if name in found.observed:
            tolerance = functools.partial(_gradient_tolerance, found, name)
            yield Quantity(f"backward gradient of {name} through the log-sum-exp", found.observed[name], tolerance)


def _second_call(trial: Trial) -> Iterator[Quantity]:
    """With other numbers and another mask of the same sizes: what the first call left behind shows here."""
    first = trial()
    query, key, value = trial.each(np.negative)
    mask = None if trial.mask is None else np.roll(trial.mask, 1, -1)
    second = trial(query, key, value, mask)
    yield Quantity("later output", second.output, lambda: _output_tolerance(second))
    if second.weights is not None:
        yield Quantity("later weights", second.weights, lambda: _weights_tolerance(second))
    yield Quantity("later first output", numbers(first.tensors[0]), lambda: _output_tolerance(first))


def _shared(trial: Trial) -> Iterator[Quantity]:
    """Query and key one tensor, and a value of its own."""
    answer = trial(query=trial.key, mask=None)
    yield Quantity("eval output where query is key", answer.output, lambda: _output_tolerance(answer))


def _call_between(trial: Trial) -> Iterator[Quantity]:
    yield Quantity("later output in eval after training", (answer := trial()).output, lambda: _output_tolerance(answer))


def _training(trial: Trial, words: str) -> Iterator[Quantity]:
    differentiated = trial.differentiate(trial.cotangent(21, trial.case.output_shape))
    yield Quantity(
        f"training{words} output", differentiated.answer.output, lambda: _MADE_GOOD * _output_tolerance(differentiated.answer)
    )
    if "value" in differentiated.observed and not words:
        gradient = differentiated.observed["value"]
        yield Quantity(
            "training gradient of value", gradient, lambda: _MADE_GOOD * _gradient_tolerance(differentiated, "value")
        )


def _has_drawn(trial: Trial) -> bool:
    """Whether the last call moved the generator of random numbers on."""
    if trial.subject.device != "cpu":
        return False
    now = torch.default_generator.get_state()
    torch.default_generator.manual_seed(trial.case.seed)
    return not torch.equal(now, torch.default_generator.get_state())


def _largest(x: Array) -> float:
    """Return the largest finite magnitude."""
    return float(np.abs(x[np.isfinite(x)]).max(initial=0.0))


def _output_tolerance(answer: Answer) -> Array:
    return np.where(answer.judged, answer.expected.output.error, np.inf)


def _weights_tolerance(answer: Answer) -> Array:
    return np.where(answer.judged[:, None], answer.expected.weights.error, np.inf)


def _logarithm_tolerance(answer: Answer) -> Array:
    must = answer.expected.lse
    assert must is not None
    return np.where(answer.attended[:, None, :, 0], must.error, np.inf)


def _gradient_tolerance(differentiated: Differentiated, name: str) -> Array:
    # In a fully masked row, -1e9 that is added lets a gradient through, and a fill does not: both are usual.
    settled = differentiated.answer.mask is None or bool(differentiated.answer.mask.any(-1).all())
    return differentiated.expected[name].error if settled else np.full(differentiated.observed[name].shape, np.inf)
