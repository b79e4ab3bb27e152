"""What torch makes of a module: compiled, exported, vectorised, called with other parameters, on meta tensors, in autocast."""

import warnings
from typing import Any

import numpy as np
import torch
from hypothesis import given
from numpy.typing import NDArray
from torch import Tensor, nn

from mhsa.judge.budget import light, rare, slow
from mhsa.judge.strategies import cases
from mhsa.oracle.precision import PRECISIONS, Precision
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.adapters.several_calls import is_square
from mhsa.subject.guard import attempt
from mhsa.subject.memory_layout import numbers
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "padding", "random")
FIXED = (  # for what takes long to set up: sizes that all differ, a mask and none
    {"batch": 2, "head": 3, "query_length": 4, "key_length": 6, "d_k": 5, "mask": "none"},
    {"batch": 3, "head": 2, "query_length": 5, "key_length": 7, "d_k": 4, "mask": "random"},
)


class Shell(nn.Module):
    """The canonical call as a module, for transformations that want one."""

    def __init__(self, trial: Trial) -> None:
        super().__init__()
        self.inner = trial.module
        self.caller = trial.subject.caller

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the output alone."""
        output: Tensor = self.caller(self.inner, query, key, value, mask, True)[0]
        return output


def tensors(trial: Trial) -> tuple[Tensor, ...]:
    """Query, key, value and, if there is one, the mask of the last call."""
    return tuple(t for t in trial.last_tensors if t is not None)


def fixed_cases(subject: Subject) -> list[Case]:
    """The fixed cases as far as the subject can be called so."""
    usable = []
    for sizes in FIXED:
        tie: Any = subject.ties[0]
        case = Case(
            "float32", **{**sizes, "mask": sizes["mask"] if sizes["mask"] in subject.masks else "none"}, data="normal", tie=tie
        )
        if is_square(subject.adapter):
            case = case.resized(query_length=case.key_length)
        if subject.adapter.sizes is not None:
            head, d_model = subject.adapter.sizes
            case = case.resized(head=head, d_k=d_model // head)
        usable.append(case.resized(d_k=subject.features(case.d_k)))
    return usable


def compare(
    trial: Trial, output: Any, what: str, precision: Precision | None = None, *, attended: bool = False
) -> NDArray[np.bool_]:
    """Require of a transformed module what the oracle says, in a precision; return which queries have a key, [B, Tq, 1]."""
    answer = trial()
    if not isinstance(output, Tensor) or output.shape != answer.tensors[0].shape:
        got = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
        check.fail(f"output {what} is {got}, but must be a tensor {list(answer.tensors[0].shape)}", what="output")
    trial.precision = precision or trial.precision
    check.within(f"output {what}", numbers(output), answer.expected.output, answer.attended if attended else answer.judged)
    return answer.attended


def made_by(subject: Subject, transform: Any, name: str) -> None:
    """Transform the module for each fixed case and compare."""
    if "float32" not in subject.dtypes:
        check.inapplicable("is judged in float32 only; add --dtype")
    for case in fixed_cases(subject):
        trial = Trial(subject, case)
        trial()
        shell = Shell(trial).eval()
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            made, said = attempt(lambda shell=shell, trial=trial: transform(shell, tensors(trial)))
        if made is None:
            check.inapplicable(f"{name} is not supported: {said}")
        compare(trial, made[0], f"after {name}")


@slow
def test_compiled(subject: Subject) -> None:
    """torch.compile changes nothing: the graph that it captures is the module.

    Statement: compile(f)(x) is within f's bound, without gradients, with and without a mask.
    Requires: a module that torch.compile can take. The graph is run as captured; no code is generated.
    Source: P14; pytorch/pytorch#191203, #139424, torch-spyre#4526 (a rewrite drops the mask).
    Breaks it: shapes or values that were burnt in at the first call, side effects that a graph loses.
    """

    def transform(shell: Shell, arguments: tuple[Tensor, ...]) -> Tensor:
        torch._dynamo.reset()
        compiled = torch.compile(shell, backend="eager", dynamic=True)
        shorter = [t[:, :1] if i == 0 else t for i, t in enumerate(arguments)][:3]
        if arguments[0] is not arguments[1] and len(arguments) == 3:
            compiled(*shorter)  # a first call of another length, whose sizes must not stick
        output: Tensor = compiled(*arguments)
        return output

    made_by(subject, transform, "torch.compile")


@slow
def test_exported(subject: Subject) -> None:
    """torch.export changes nothing.

    Statement: export(f)(x) is within f's bound, with and without a mask.
    Requires: a module that torch.export can take.
    Source: P14.
    Breaks it: Python numbers computed from tensors, a branch on values that is frozen.
    """

    def transform(shell: Shell, arguments: tuple[Tensor, ...]) -> Tensor:
        output: Tensor = torch.export.export(shell, arguments).module()(*arguments)
        return output

    made_by(subject, transform, "torch.export")


@light
@given(case=cases(masks=ANY, small=True))
def test_vectorised(subject: Subject, case: Case) -> None:
    """vmap over a further axis is a loop over it.

    Statement: vmap(f)(stack(x, y)) = stack(f(x), f(y)).
    Requires: a module that torch.func.vmap can take: no branch on values.
    Source: torch's OpInfo tests vmap for every operator.
    Breaks it: axes counted from the front, sizes used as batch, in-place writes into tensors without the axis.
    """
    trial = Trial(subject, case)
    trial()
    given_tensors = tensors(trial)
    trial(*trial.each(lambda x: -x))
    stacked = {id(a): torch.stack([a, b]) for a, b in zip(given_tensors, tensors(trial), strict=True)}
    shell = Shell(trial)
    with torch.no_grad():
        made, said = attempt(lambda: torch.func.vmap(shell)(*(stacked[id(t)] for t in given_tensors)))
    if made is None:
        check.inapplicable(f"vmap is not supported: {said}")
    compare(trial, made[0][0], "of the first under vmap")


@light
@given(case=cases(masks=ANY, small=True))
def test_called_with_other_parameters(subject: Subject, case: Case) -> None:
    """functional_call uses the parameters that are passed, and leaves the module's own alone.

    Statement: functional_call(f, W', x) = f_W'(x), and f(x) afterwards is f_W(x).
    Requires: a module that torch.func.functional_call can take.
    Source: P18; per-sample gradients and meta-learning call modules so.
    Breaks it: parameters that are captured in the constructor, or read through .data or a cache.
    """
    trial = Trial(subject, case.resized(grad=False))
    trial()
    other = trial.fresh_copy()
    other.fill(case.resized(seed=case.seed + 1))
    parameters = {f"inner.{name}": p.detach().clone() for name, p in other.module.named_parameters()}
    shell = Shell(trial)
    with torch.no_grad():
        made, said = attempt(lambda: torch.func.functional_call(shell, parameters, tensors(trial)))
    if made is None:
        check.inapplicable(f"functional_call is not supported: {said}")
    compare(other, made[0], "of functional_call with other parameters")
    with torch.no_grad():  # as before: what can only be called so is judged so
        again = shell(*tensors(trial))
    compare(trial, again, "after functional_call")


@light
@given(case=cases(masks=ANY, data=("integers",), dtypes=("float32",), small=True))
def test_in_autocast(subject: Subject, case: Case) -> None:
    """Under autocast the result is that of bfloat16 arithmetic on the same numbers.

    Statement: |O - o| <= B with B the bound for bfloat16, on inputs and parameters that bfloat16 holds exactly; O is in
        bfloat16 or float32. A query that may attend to no key changes no other, and gets what is declared.
    Requires: a module that autocast to bfloat16 can take.
    Source: P20; ultralytics PR#24990, linformer-pytorch PR#19 (fills that half formats cannot hold).
    Breaks it: an additive mask or a fill that overflows, sums in bfloat16, a scale that is lost in a cast.
    """
    trial = Trial(subject, case)
    trial()
    made, said = in_autocast(trial)
    if made is None:
        check.inapplicable(f"autocast is not supported: {said}")
    compare(trial, made, "under autocast", PRECISIONS["bfloat16"])
    if made.dtype not in (torch.bfloat16, torch.float32):
        check.fail(f"output under autocast has dtype {made.dtype}, but must have bfloat16 or float32", what="dtype")
    if "fully_masked_row" not in subject.masks:
        return
    trial.mask = np.ones((case.batch, case.query_length, case.key_length), bool) if trial.mask is None else trial.mask
    trial.mask[-1, -1] = False
    trial()
    made, said = in_autocast(trial)
    if made is None:
        trial.mask[-1, -1, -1] = True
        trial()
        if in_autocast(trial)[0] is None:  # no mask is taken under autocast
            return
        check.fail(f"with a query without any key autocast raises {said}", what="call")
    empty = ~compare(trial, made, "under autocast, of other queries", PRECISIONS["bfloat16"], attended=True)
    # What is found without autocast, and not declared, may be something else in a format that has no fill of that size.
    declared = subject.adapter.contract.fully_masked_row
    if declared not in (None, "nan"):
        check.finite("output of a query without any key under autocast", numbers(made), empty)
    if declared in ("zeros", "uniform"):
        compare(trial, made, "under autocast", PRECISIONS["bfloat16"])


def in_autocast(trial: Trial) -> tuple[Any, str]:
    """Return the output of the last call, made again in autocast; or None, and what it raises."""
    with torch.no_grad(), torch.autocast(trial.subject.device.partition(":")[0], dtype=torch.bfloat16):
        made, said = attempt(lambda: Shell(trial)(*tensors(trial)))
    return (None if made is None else made[0]), said


@slow
@rare
@given(case=cases(masks=ANY, dtypes=("float32",), small=True))
def test_on_meta_tensors(subject: Subject, case: Case) -> None:
    """On the meta device, which has shapes and no numbers, the output has its shape and dtype.

    Statement: f on meta tensors is a meta tensor [B, Tq, D] of query's dtype.
    Requires: a module without branches on values.
    Source: P21; torch's OpInfo tests meta for every operator.
    Breaks it: a tensor made on a fixed device, .item(), numpy.
    """
    trial = Trial(subject, case)
    trial()
    given_tensors = tensors(trial)
    on_meta = {id(t): t.to("meta") for t in given_tensors}
    shell = Shell(trial).to("meta")
    with torch.no_grad():
        made, said = attempt(lambda: shell(*(on_meta[id(t)] for t in given_tensors)))
    if made is None:
        check.inapplicable(f"the meta device is not supported: {said}")
    output, shape = made[0], case.output_shape
    observed = (tuple(output.shape), output.dtype, output.device.type) if isinstance(output, Tensor) else type(output).__name__
    if observed != (shape, trial.dtype, "meta"):
        check.fail(f"output on meta tensors is {observed}, but must be {(shape, trial.dtype, 'meta')}", what="output")
