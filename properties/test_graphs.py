"""What one call keeps for its backward pass is its own: of calls whose graphs live at once, and of tensors that look alike."""

from collections.abc import Mapping

import numpy as np
import torch
from hypothesis import given
from torch import Tensor

from mhsa.judge.budget import light, rare
from mhsa.judge.dropout.unused_rate import repeats
from mhsa.judge.strategies import cases
from mhsa.oracle.bounded import Array, Bounded
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.autograd import changes_dtype, is_custom, of_call
from mhsa.subject.guard import attempt, guard
from mhsa.subject.subject import Subject
from mhsa.subject.trial import CaseMask, Trial

ANY = ("none", "padding", "causal", "random")
ROLES = ("query", "key", "value")
STEP, ABSOLUTE, RELATIVE = 1e-6, 1e-5, 1e-3  # torch's own, of gradgradcheck in float64


def called(trial: Trial, what: str) -> tuple[dict[int, Tensor], Tensor]:
    """Call with the tensors of the last call, as new ones that need gradients: the tensors by the old ones, and the output."""
    q, k, v, mask = trial.last_tensors
    given = {id(t): t.detach().requires_grad_() for t in (q, k, v)}
    with torch.enable_grad():
        output, _ = guard(what, lambda: trial.call_unchecked(given[id(q)], given[id(k)], given[id(v)], mask))
    return given, output


@light
@given(case=cases(masks=ANY, min_keys=2, small=True))
def test_gradients_of_two_calls_at_once(subject: Subject, case: Case) -> None:
    """Two calls may come before the backward pass of the first, and a backward pass may come twice.

    Statement: after f(x) under the mask, and f(y) without one, the gradients of f(x), of f(x) once more, and of f(y) are those
        of the formula; in train mode, too, with dropout 0.
    Requires: autograd.
    Source: P16, P18; siamese networks, gradient accumulation, two losses on one graph.
    Breaks it: what the backward pass needs kept on the module, the class or the autograd function, and not in the graph; a
        checkpoint, which is in train mode alone, that reads the mask of the last call.
    """
    trial = in_either_mode(subject, case)
    d_output = trial.cotangent(20, case.output_shape)
    calls = []
    for inputs, mask in ((trial.each(lambda x: x), CaseMask.UNCHANGED), (trial.each(lambda x: -x), None)):
        expected = trial.differentiate(d_output, query=inputs[0], key=inputs[1], value=inputs[2], mask=mask).expected
        calls.append((trial.last_tensors, expected, *called(trial, "one of two calls")))
    for n, what in (
        (0, "of the first of two calls"),
        (0, "of the first of two calls, once more"),
        (1, "of the second of two calls"),
    ):
        tensors, expected, given, output = calls[n]
        require_theirs(trial, tensors[:3], given, output, d_output, expected, what)


def in_either_mode(subject: Subject, case: Case) -> Trial:
    """Return a trial in train mode by every other seed, where two calls without dropout can be alike there."""
    if case.seed % 2 == 0:
        return Trial(subject, case)
    module = guard("building it without dropout", lambda: subject.adapter.build_dropping(case.head, case.d_model, 0.0))
    trial = Trial(subject, case, module=module)
    trial()
    trial.train()
    if module is None and not repeats(trial):
        trial.module.eval()
    return trial


def require_theirs(
    trial: Trial, old: tuple[Tensor, ...], given: Mapping[int, Tensor], output: Tensor, d_output: Array,
    expected: Mapping[str, Bounded], what: str,
) -> None:  # fmt: skip
    """Fail unless tensors and parameters receive the gradients that are expected; the graph stays."""
    own = [p for p in trial.module.parameters() if p.requires_grad]
    start = (output, trial.tensor(d_output))
    observed = guard(f"the backward pass {what}", lambda: of_call(start, old, given, own, trial.views, keep=True))
    for name in observed:
        if name in expected and name not in trial.views.fixed:
            check.within(f"gradient of {name} {what}", observed[name], expected[name])


@rare
@given(case=cases(masks=ANY, ties=("kv", "all"), min_keys=2, small=True))
def test_equal_numbers_are_not_one_tensor(subject: Subject, case: Case) -> None:
    """Query, key and value that hold the same numbers, and are three tensors, receive three gradients.

    Statement: for q = k = v in number, each a tensor of its own: dL/dq, dL/dk and dL/dv are those of the formula.
    Requires: autograd; key or value apart from the query.
    Source: P16; self-attention that is told by the numbers.
    Breaks it: torch.equal in the place of `is`, whose shortcut gives one tensor the gradients of all.
    """
    trial = Trial(subject, case)
    if "none" not in subject.ties:
        check.inapplicable("needs a query, a key and a value of their own")
    d_output = trial.cotangent(20, case.output_shape)
    apart = trial.differentiate(d_output, query=trial.query.copy(), key=trial.key.copy(), value=trial.value.copy())
    for name in ROLES:
        check.within(f"gradient of {name}, whose numbers are those of others", apart.observed[name], apart.expected[name])


@rare
@given(case=cases(masks=("none", "padding", "random"), data=("normal",), dtypes=("float64",), min_keys=2, small=True))
def test_gradients_are_differentiated_again(subject: Subject, case: Case) -> None:
    """A gradient that can be differentiated again gives the second derivatives that it has.

    Statement: with L = <O, G> and s = <dL/d(q, k, v), C>, the derivative of s in a direction t of (q, k, v, G) is the central
        difference of s between x + h t and x - h t.
    Requires: autograd in float64; gradients that can be differentiated: one that raises promises none, and a custom
        autograd.Function promises first derivatives only.
    Source: torch.autograd.gradgradcheck, with its step and tolerances.
    Breaks it: a backward pass that uses what was kept without its graph, a hook or a checkpoint that detaches gradients.
    """
    if subject.contract.float64_in == "float32":
        check.inapplicable("needs float64 throughout, and the subject computes in float32")
    trial = Trial(subject, case.resized(grad=False))
    trial.require_gradients()
    trial()
    old = {id(t): t for t in trial.last_tensors[:3]}
    start = trial.tensor(trial.cotangent(20, case.output_shape))
    directions = [trial.tensor(trial.cotangent(30 + n, tuple(t.shape))) for n, t in enumerate((*old.values(), start))]
    ends = [trial.tensor(trial.cotangent(40 + n, tuple(t.shape))) for n, t in enumerate(old.values())]

    def slope(step: float, *, again: bool) -> tuple[Tensor, list[Tensor], Tensor]:
        pairs = zip((*old.values(), start), directions, strict=True)
        *leaves, first = [(t.detach() + step * d).requires_grad_() for t, d in pairs]
        given = dict(zip(old, leaves, strict=True))
        q, k, v, mask = trial.last_tensors
        with torch.enable_grad():
            output, _ = trial.call_unchecked(given[id(q)], given[id(k)], given[id(v)], mask)
            gradients = torch.autograd.grad((output * first).sum(), leaves, create_graph=again, allow_unused=True)
            sums = ((g * end).sum() for g, end in zip(gradients, ends, strict=True) if g is not None)
            return sum(sums, torch.zeros(())), [*leaves, first], output

    def differentiated() -> tuple[float, Tensor]:
        value, leaves, output = slope(0.0, again=True)
        found = torch.autograd.grad(value, leaves, allow_unused=True) if value.requires_grad else (None,) * len(leaves)
        pairs = list(zip(found, directions, strict=True))
        return sum(float((g * d).sum()) for g, d in pairs if g is not None), output

    made, said = attempt(differentiated)
    if made is None:
        check.inapplicable(f"needs gradients that can be differentiated: {said}")
    observed, output = made[0]
    if is_custom(output):
        check.inapplicable("needs plain torch functions: a custom autograd.Function promises first derivatives only")
    if changes_dtype(output):  # rotary positions in float32, say: a difference quotient sees their rounding alone
        check.inapplicable("needs float64 throughout, and the subject converts numbers on the way")
    (up, _, _), (down, _, _) = (guard("another backward pass", lambda h=h: slope(h, again=False)) for h in (STEP, -STEP))
    expected = (float(up) - float(down)) / (2 * STEP)
    allowed = np.array([ABSOLUTE + RELATIVE * abs(expected)])
    check.within("second derivative", np.array([observed]), Bounded(np.array([expected]), allowed))
