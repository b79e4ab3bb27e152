"""A subject's module with the parameters of one case, called as often as a property needs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mhsa import check, oracle
from mhsa.bounded import Array
from mhsa.cases import Case
from mhsa.layout import Sizes
from mhsa.loading import describe
from mhsa.precision import Precision
from mhsa.projections import Projections
from mhsa.subject import Subject

T = TypeVar("T")
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Answer:
    """What the subject returned for one input, beside what it had to return.

    Attributes:
        output: [B, Tq, d_model], as float64 numbers.
        weights: [B, head, Tq, Tk] or None.
        mask: bool [B, Tq, Tk] or None, as given.
        expected: the oracle's answer with its bounds, evaluated when first asked for.
    """

    output: Array
    weights: Array | None
    mask: Mask | None
    empty_row: str | None
    ask_oracle: Callable[[], oracle.Attention]

    @functools.cached_property
    def expected(self) -> oracle.Attention:
        """Ask the oracle, once."""
        return self.ask_oracle()

    @functools.cached_property
    def judged(self) -> Mask:
        """Rows [B, Tq, 1] whose value is settled: rows with a key, and empty ones if the contract gives their weights."""
        batch, tq, _ = self.output.shape
        if self.mask is None or self.empty_row in ("zeros", "uniform"):
            return np.ones((batch, tq, 1), dtype=bool)
        return np.asarray(self.mask.any(axis=-1, keepdims=True))

    @property
    def output_and_bound(self) -> tuple[Array, Array]:
        """The pair that :func:`mhsa.check.agree` compares."""
        return self.output, self.expected.output.error


class Trial:
    """One module, built for the case and filled with its parameters.

    Attributes:
        query, key, value: the case's tensors, rounded to its dtype, as float64 numbers; tied ones are one object.
        mask: bool [B, Tq, Tk] or None.
        projections: the parameters as the oracle wants them.
        arguments: of the last call: the tensor that the subject was given, and the numbers that it held then.
        returned: the output tensor of the last call, as it was handed out.
    """

    def __init__(self, subject: Subject, case: Case, *, counted: bool = True) -> None:
        self.subject = subject
        self.case = case
        self.arguments: dict[str, tuple[Tensor, Array]] = {}
        self.returned: Tensor = torch.empty(0)
        self.sizes = Sizes(case.head, case.d_k)
        self.dtype: torch.dtype = getattr(torch, case.dtype)
        self.precision: Precision = subject.precision(case.dtype)
        if counted:
            check.current().start(case.as_dict() | {"words": str(case)}, case.dtype)
        built = guard("building it", lambda: subject.adapter.build(case.head, case.d_model))
        self.module = built.to(device=subject.device, dtype=self.dtype).eval()
        self.views: Projections = subject.bind(self.module, self.sizes)
        for stream, (_, view) in enumerate(self.views.views()):
            view.write(torch.from_numpy(case.parameter(stream, view.shape)).to(self.dtype))
        self.query, self.key, self.value = self.round_inputs(case)
        self.mask = case.allowed()
        self.projections = self._read_projections()
        if counted:
            check.current().show = self.show

    def show(self) -> dict[str, Array]:
        """Return everything that goes into the call, for a failure to be looked at."""
        shown = {"query": self.query, "key": self.key, "value": self.value}
        shown |= {name: numbers(view.read()) for name, view in self.views.views()}
        return shown if self.mask is None else shown | {"mask": self.mask.astype(np.float64)}

    def fresh(self) -> Trial:
        """Return another module with the same parameters, which has not been called yet."""
        return Trial(self.subject, self.case, counted=False)

    def _read_projections(self) -> oracle.Projections:
        roles = []
        for role in (self.views.query, self.views.key, self.views.value, self.views.out):
            bias = None if role.bias is None else numbers(role.bias.read())
            roles.append(oracle.Linear(numbers(role.weight.read()), bias))
        return oracle.Projections(*roles)

    def write(self, name: str, values: Array) -> None:
        """Set a parameter, ``out.weight`` say, to numbers that the dtype can hold."""
        dict(self.views.views())[name].write(torch.from_numpy(values).to(self.dtype))
        self.projections = self._read_projections()

    def __call__(
        self,
        query: Array | None = None,
        key: Array | None = None,
        value: Array | None = None,
        mask: Mask | str | None = "",
    ) -> Answer:
        """Call the subject with the case's tensors, or with others (numbers of the same dtype) in their place.

        A violation if it raises, or if the output is not a tensor [B, Tq, d_model].
        """
        query = self.query if query is None else query
        key = self.key if key is None else key
        value = self.value if value is None else value
        allowed = self.mask if isinstance(mask, str) else mask
        tensors: dict[int, Tensor] = {}
        for x in (query, key, value):
            if id(x) not in tensors:
                tensors[id(x)] = self._place(x)
        given = None if allowed is None else self.subject.caller.convert(self._place_mask(allowed), self.dtype)
        self.arguments = {name: (tensors[id(x)], x) for name, x in (("query", query), ("key", key), ("value", value))}
        if given is not None:
            self.arguments["mask"] = (given, numbers(given))
        torch.manual_seed(self.case.seed)  # a subject that draws random numbers draws the same ones each time
        with torch.set_grad_enabled(self.case.grad):
            output, weights = guard(
                f"the call with {_shapes(query=query, key=key, value=value, mask=allowed)}",
                lambda: self.subject.caller(
                    self.module, tensors[id(query)], tensors[id(key)], tensors[id(value)], given, self.case.need_weights
                ),
            )
        shape = [query.shape[0], query.shape[1], self.case.d_model]
        if not isinstance(output, Tensor):
            check.fail(f"output is a {type(output).__name__}, but must be a tensor {shape}", what="output")
        if list(output.shape) != shape:
            check.fail(
                f"output has shape {list(output.shape)}, but must be {shape}",
                what="output", observed=list(output.shape), required=shape,
            )  # fmt: skip
        if self.subject.caller.weights_from is not None and self.case.need_weights:
            expected = [query.shape[0], self.case.head, query.shape[1], key.shape[1]]
            got = list(weights.shape) if isinstance(weights, Tensor) else f"a {type(weights).__name__}"
            if got != expected:
                check.fail(f"weights are {got}, but must be a tensor {expected}", what="weights")
        self.returned = output
        projections, contract = self.projections, self.subject.contract
        return Answer(
            numbers(output),
            numbers(weights) if isinstance(weights, Tensor) else None,
            allowed,
            contract.empty_row,
            lambda: oracle.multi_head(
                query, key, value, projections, self.case.head, allowed, self.precision,
                "uniform" if contract.empty_row == "uniform" else "zeros",
            ),
        )  # fmt: skip

    def round_inputs(self, case: Case) -> tuple[Array, Array, Array]:
        """Return query, key and value of a case, rounded to this trial's dtype; tied ones are one object."""
        rounded: dict[int, Array] = {}
        q, k, v = inputs = case.inputs()
        for x in inputs:
            if id(x) not in rounded:
                rounded[id(x)] = numbers(torch.from_numpy(x).to(self.dtype))
        return rounded[id(q)], rounded[id(k)], rounded[id(v)]

    def _place(self, x: Array) -> Tensor:
        """Return a tensor [B, T, D] with these numbers, in the case's memory layout."""
        # torch.tensor copies: what the subject writes into its arguments must not reach the oracle.
        tensor = torch.tensor(x, dtype=self.dtype, device=self.subject.device)
        batch, length, width = tensor.shape
        layout = self.case.layout
        if layout == "transposed":
            return tensor.transpose(0, 1).contiguous().transpose(0, 1)
        if layout == "sliced":  # between other features, as when query, key and value are slices of one projection
            wide = tensor.new_full((batch, length, 3 * width), 7.0)
            wide[..., width : 2 * width] = tensor
            return wide[..., width : 2 * width]
        if layout == "offset":
            longer = tensor.new_full((batch + 1, length, width), 7.0)
            longer[1:] = tensor
            return longer[1:]
        if layout == "expanded" and batch and bool((tensor == tensor[:1]).all()):
            return tensor[:1].expand(batch, length, width)
        return tensor

    def _place_mask(self, mask: Mask) -> Tensor:
        tensor = torch.tensor(mask, device=self.subject.device)
        if self.case.mask == "broadcast" and bool((tensor == tensor[:1]).all()):
            return tensor[:1].expand(tensor.shape)
        return tensor


def guard(what: str, step: Callable[[], T]) -> T:
    """Run the subject's code; whatever it raises is a violation, reported with its place in the subject."""
    try:
        return step()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit() in a forward is as wrong as any error
        said = describe(error)
    # Outside the except block, so that Hypothesis sees one kind of failure and finds the smallest case of all.
    return check.fail(f"{what} raised {said}", what="call", observed=said)


def _shapes(**arrays: NDArray[Any] | None) -> str:
    return ", ".join(f"{name} {list(x.shape)}" for name, x in arrays.items() if x is not None)


def numbers(tensor: Tensor) -> Array:
    """Return a tensor's numbers in float64."""
    # A copy: a subject may write into what it has handed out.
    result: Array = tensor.detach().to(device="cpu", dtype=torch.float64, copy=True).numpy()
    return result
