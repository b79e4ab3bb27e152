"""A subject's module with the parameters of one case, called as often as a property needs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mhsa.oracle.attention import FullyMaskedRow, Linear, MultiHead, ProjectionWeights, multi_head, shared_heads
from mhsa.oracle.bounded import Array, Bounded
from mhsa.oracle.precision import Precision
from mhsa.records.case import Case
from mhsa.records.contract import LENGTH_SHAPES
from mhsa.subject import check
from mhsa.subject.answer import Answer, Differentiated, Mask, ObservedGradients, expected_gradients
from mhsa.subject.autograd import backward_pass
from mhsa.subject.caller import Caller
from mhsa.subject.computed_views import ComputedView
from mhsa.subject.forms.mask_form import ALIKE_FOR_QUERIES
from mhsa.subject.guard import guard
from mhsa.subject.memory_layout import is_tensor, numbers, plain, tied, to_tensor
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.projections import Projections
from mhsa.subject.subject import Subject


class CaseMask(Enum):
    """The default of an argument ``mask``, for which None stands for a call without a mask."""

    UNCHANGED = "the mask of the case"


class Trial:
    """One module, built for the case and filled with its parameters.

    Attributes:
        module: the subject's, in eval mode.
        query, key, value: the case's tensors, rounded to its dtype, as float64 numbers; tied ones are one object.
        mask: bool [B, Tq, Tk] or None, before it is turned into the form that the subject takes.
        bias: [B or 1, H or 1, Tq, Tk] that is given and added to the scores, as float64 numbers; or None.
        formula: what the subject computes, by its contract.
        views: the module's parameters, to be read and written.
        projections: the same as the oracle wants them.
        exact_heads: whether parameters and tensors are such that Q, K and V are exact, so that the oracle allows no rounding
            for them; set by the properties that choose such numbers (:mod:`mhsa.subject.crafted_inputs`).
        arguments: of the last call: the tensor that was passed, and the numbers that it held then.
    """

    def __init__(
        self,
        subject: Subject,
        case: Case,
        *,
        counted: bool = True,
        module: nn.Module | None = None,
    ) -> None:
        self.subject = subject
        self.case = case
        self.arguments: dict[str, tuple[Tensor, Array]] = {}
        self.exact_heads = False
        self.sizes = Sizes(case.head, case.d_k)
        self.dtype: torch.dtype = getattr(torch, case.dtype)
        self.precision: Precision = subject.precision(case.dtype)
        self.formula = subject.contract.formula
        call = check.CurrentCall(lambda: case.as_dict() | {"words": str(case)}, case.dtype)
        if counted:
            check.current().start(call)
        if module is None:
            module = guard("building it", lambda: subject.adapter.build(case.head, case.d_model))
        self.use(module.to(device=subject.device, dtype=self.dtype).eval())
        self.fill(case)
        self.query, self.key, self.value = self.round_inputs(case)
        self.mask = self.draw_mask(case)
        self.bias = self.draw_bias(case)
        call.inputs = self.show

    def use(self, module: nn.Module) -> None:
        """Call this module from now on."""
        self.module = module
        self.views: Projections = self.subject.bind(module, self.sizes)

    def fill(self, case: Case) -> None:
        """Give every parameter the numbers of a case, in place."""
        views = [view for _, view in (*self.views.views(), *self.views.sources)]
        for view, values in zip(views, case.parameters([view.shape for view in views]), strict=True):
            view.write(torch.from_numpy(values))
        self.reread()

    def draw_mask(self, case: Case) -> Mask | None:
        """Return the mask of a case, in which every query sees a key under the formula too; but for kind "fully_masked_row"."""
        mask = case.allowed()
        return mask if case.mask == "fully_masked_row" else self.opened(mask)

    def draw_bias(self, case: Case) -> Array | None:
        """Return the bias of a case, rounded to this trial's dtype; one that the mask carries has an axis for the samples."""
        form, bias = self.subject.caller.bias_form, case.score_bias()
        if form is None or bias is None or (form.in_mask and case.mask == "fully_masked_row"):
            return None
        if form.in_mask and self.mask is not None:
            bias = np.broadcast_to(bias, (case.batch, *bias.shape[1:]))
        return self.round(np.ascontiguousarray(bias))

    def opened(self, mask: Mask | None) -> Mask | None:
        """Return a mask [B, Tq, Tk] in which every query that the formula lets see a key may see one of those.

        That a causal mask or a window hides from a query all that the mask allows it is for the properties about fully
        masked rows alone: elsewhere the contract need not say what such a row gives.
        """
        if mask is None or not self.formula.positional:
            return mask
        _, queries, keys = mask.shape
        seen = self.formula.allowed(None, 1, queries, keys)
        assert seen is not None
        last = keys - 1 - seen[0, :, ::-1].argmax(axis=1)  # the last key that each query may see
        sample, row = np.nonzero(~(mask & seen).any(axis=2) & seen.any(axis=2))
        mask = mask.copy()
        if self.subject.contract.mask_shape in ALIKE_FOR_QUERIES:
            mask[sample, :, last[row]] = True
        else:
            mask[sample, row, last[row]] = True
        return mask

    def effective(self, mask: Mask | None, query: Array, key: Array) -> Mask | None:
        """Return which keys each query may attend to: what mask and formula allow, [B, Tq, Tk], or None for everything."""
        if not self.formula.positional:
            return mask
        batch, queries, keys = *query.shape[:2], key.shape[1]
        if mask is not None and mask.shape != (batch, queries, keys):
            mask = np.broadcast_to(mask, (batch, queries, keys))
        return self.formula.allowed(mask, batch, queries, keys)

    def show(self) -> dict[str, Array]:
        """Return everything that goes into the call, for a failure to be looked at."""
        shown = {"query": self.query, "key": self.key, "value": self.value}
        shown |= {name: numbers(view.read()) for name, view in self.views.maps()}
        shown |= {} if self.mask is None else {"mask": self.mask.astype(np.float64)}
        return shown if self.bias is None else shown | {"bias": self.bias}

    def fresh_copy(self) -> Trial:
        """Return another module with the same parameters, which has not been called yet."""
        return Trial(self.subject, self.case, counted=False)

    def with_module(self, subject: Subject, module: nn.Module) -> Trial:
        """Return a trial of another subject's module on this one's case: its parameters, tensors and mask.

        Where this module has no bias, the other one's is zero.
        """
        twin = copy.copy(self)
        twin.subject, twin.arguments = subject, {}
        twin.use(module.to(device=subject.device, dtype=self.dtype).eval())
        for name, view in twin.views.views():
            role, _, kind = name.partition(".")
            part = getattr(self.projections, role)
            values = getattr(part, kind) if kind else part
            view.write(torch.zeros(view.shape) if values is None else torch.from_numpy(values))
        return twin

    def write(self, **parameters: Array) -> None:
        """Set parameters, ``query_weight`` say, to numbers that the dtype can hold; biases that are not there must be 0.

        Zeros may have any shape. Other numbers for maps from d_model to d_model are not for a subject whose maps have another
        width: then the property is not applicable. Nor is it where a map is not a parameter and cannot have these numbers.
        """
        views = {name.replace(".", "_"): view for name, view in self.views.maps()}
        for name, values in parameters.items():
            if name in views:
                view = views[name]
                if not np.any(values):
                    values = np.zeros(view.shape)
                if isinstance(view, ComputedView):
                    if not view.takes(torch.from_numpy(np.ascontiguousarray(values))):
                        check.inapplicable(f"needs {name.replace('_', '.')} to be set: {view.fixed}")
                    continue
                if values.shape != view.shape:
                    check.not_under(self.formula.shared, "needs a key head for each query head")
                    if self.inner != self.case.d_model:
                        check.inapplicable(f"needs maps from d_model to d_model, and {self.about_width()}")
                views[name].write(torch.from_numpy(np.ascontiguousarray(values)).to(self.dtype))
                if not np.array_equal(numbers(views[name].read()), values):
                    raise ValueError(f"{self.case.dtype} cannot hold the numbers that {name} is to be set to")
            elif np.any(values):
                raise ValueError(f"the module has no {name}, so it cannot be set to anything but zero")
        self.reread()

    def reread(self) -> None:
        """Read the parameters again, after they were changed without :meth:`write`."""
        roles = []
        for role in (self.views.query, self.views.key, self.views.value, self.views.out):
            bias = None if role.bias is None else numbers(role.bias.read())
            roles.append(Linear(numbers(role.weight.read()), bias))
        sinks = None if self.views.sinks is None else numbers(self.views.sinks.read())
        norms = {
            name: Linear(numbers(norm.weight.read()), None if norm.bias is None else numbers(norm.bias.read()))
            for name, norm in (("query_norm", self.views.query_norm), ("key_norm", self.views.key_norm))
            if norm is not None
        }
        table = None if self.views.table is None else numbers(self.views.table.read())
        self.projections = ProjectionWeights(*roles, sinks=sinks, table=table, **norms)

    @property
    def inner(self) -> int:
        """Width of all heads together: rows of W_Q; d_model, unless the subject has a width of its own inside."""
        return len(self.projections.query.weight)

    @property
    def d_k(self) -> int:
        """Width of a head's queries and keys."""
        return self.inner // self.case.head

    @property
    def d_v(self) -> int:
        """Width of a head's values: columns of W_O."""
        return int(self.projections.out.weight.shape[1]) // self.case.head

    @property
    def key_heads(self) -> int:
        """How many heads of keys and values there are."""
        return shared_heads(self.projections, self.case.head, self.formula)

    def about_width(self) -> str:
        """Return in words that the subject's inner width is not d_model."""
        return f"the subject's have an inner width of {self.inner}, where d_model is {self.case.d_model}"

    def round(self, x: Array) -> Array:
        """Round numbers to the case's dtype."""
        return numbers(torch.from_numpy(x).to(self.dtype))

    def round_inputs(self, case: Case) -> tuple[Array, Array, Array]:
        """Return query, key and value of a case, rounded to this trial's dtype; tied ones are one object."""
        query, key, value = tied(self.round, *case.inputs())
        return query, key, value

    def each(self, change: Callable[[Array], Array]) -> tuple[Array, Array, Array]:
        """Return query, key and value, changed; tied ones stay one object."""
        query, key, value = tied(change, self.query, self.key, self.value)
        return query, key, value

    def paired(self, change: Callable[[Array], Array]) -> dict[str, Array]:
        """Return key and value, changed, as arguments of a call; tied ones stay one object."""
        key, value = tied(change, self.key, self.value)
        return {"key": key, "value": value}

    @property
    def last_tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """The tensors of the last call: query, key, value and the mask in the subject's own form, or None."""
        query, key, value = (self.arguments[name][0] for name in ("query", "key", "value"))
        return query, key, value, self.arguments["mask"][0] if "mask" in self.arguments else None

    @property
    def caller(self) -> Caller:
        """The canonical call, with the bias of the last one."""
        if "bias" not in self.arguments:
            return self.subject.caller
        return replace(self.subject.caller, bias=self.arguments["bias"][0])

    def call_again(self, need_weights: bool | None = None) -> tuple[Any, Any]:
        """Call the module as it is with the tensors of the last call; the random numbers go on from where they are."""
        wanted = self.case.need_weights if need_weights is None else need_weights
        return guard("another call", lambda: self.caller(self.module, *self.last_tensors, wanted))

    def __call__(
        self,
        query: Array | None = None,
        key: Array | None = None,
        value: Array | None = None,
        mask: Mask | CaseMask | None = CaseMask.UNCHANGED,
    ) -> Answer:
        """Call the subject with the case's tensors, or with others (numbers of the same dtype) instead.

        A violation if it raises, or if the output is not a tensor [B, Tq, d_model].
        """
        return self._answer(*self._inputs(query, key, value, mask))

    def differentiate(
        self,
        d_output: Array,
        d_weights: Array | None = None,
        *,
        query: Array | None = None,
        key: Array | None = None,
        value: Array | None = None,
        mask: Mask | CaseMask | None = CaseMask.UNCHANGED,
        lay_out_gradient: Callable[[Tensor], Tensor] = lambda t: t,
    ) -> Differentiated:
        """Call the subject and differentiate <output, d_output> + <weights, d_weights> by autograd.

        ``lay_out_gradient`` may lay d_output out in memory in another way. A violation if the backward pass raises.
        """
        inputs = self._inputs(query, key, value, mask)
        answer = self._answer(*inputs, leaves=True)
        starts = [(answer.tensors[0], lay_out_gradient(self.tensor(d_output)))]
        if d_weights is not None and answer.tensors[1] is not None and answer.tensors[1].requires_grad:
            starts.append((answer.tensors[1], self.tensor(d_weights)))
        if not answer.tensors[0].requires_grad:
            check.fail("output does not require a gradient, but must: query and the parameters do", what="gradients")
        roles: dict[Tensor, list[str]] = {}
        for name, tensor in zip(("query", "key", "value"), self.last_tensors[:3], strict=True):
            roles.setdefault(tensor, []).append(name)
        bias = self.arguments["bias"][0] if "bias" in self.arguments else None
        leaves = [*roles, *self.module.parameters(), *([] if bias is None else [bias])]
        of_tensors = guard("the backward pass", lambda: backward_pass(starts, leaves))
        observed, missing = {}, set()
        for tensor, (name, *_) in roles.items():
            observed[name] = numbers(of_tensors.get(tensor, torch.zeros_like(tensor)))
            missing |= set() if tensor in of_tensors else {name}
        for name, view in self.views.views():
            gradient, complete = view.gradient(of_tensors)
            observed[name] = numbers(gradient)
            missing |= set() if complete else {name}
        if bias is not None:
            assert self.bias is not None
            observed["bias"] = numbers(of_tensors.get(bias, torch.zeros_like(bias))).reshape(self.bias.shape)
            missing |= set() if bias in of_tensors else {"bias"}
        ties = {names[0]: names for names in roles.values()}
        fixed = self.views.fixed

        def expected() -> dict[str, Bounded]:
            of_all = expected_gradients(answer, ties, d_output, d_weights, self.precision)
            return {name: gradient for name, gradient in of_all.items() if name not in fixed}

        return Differentiated(answer, ObservedGradients(observed, fixed), frozenset(missing), expected)

    def cotangent(self, stream: int, shape: tuple[int, ...]) -> Array:
        """Return numbers for a gradient to start from, of the case's kind."""
        rng = self.case.rng(stream)
        whole = self.case.data in ("integers", "ties", "repeated")
        return self.round(
            rng.integers(1, 3, size=shape) * rng.choice([-1.0, 1.0], size=shape) if whole else rng.standard_normal(shape)
        )

    def _inputs(
        self, query: Array | None, key: Array | None, value: Array | None, mask: Mask | CaseMask | None
    ) -> tuple[Array, Array, Array, Mask | None]:
        query = self.query if query is None else query
        key = self.key if key is None else key
        value = self.value if value is None else value
        return query, key, value, self.mask if isinstance(mask, CaseMask) else mask

    def _answer(self, query: Array, key: Array, value: Array, mask: Mask | None, *, leaves: bool = False) -> Answer:
        q, k, v = tied(lambda x: self.tensor(x, self.case.layout).requires_grad_(leaves), query, key, value)
        if self.bias is not None and self.bias.shape[2:] != (query.shape[1], key.shape[1]):
            raise ValueError(f"a bias {self.bias.shape} for {query.shape[1]} queries and {key.shape[1]} keys")
        form = self.subject.caller.bias_form
        in_mask = form is not None and form.in_mask and self.bias is not None
        given = None if mask is None or in_mask else self.convert(mask)
        self.arguments = {"query": (q, query), "key": (k, key), "value": (v, value)}
        if form is not None and self.bias is not None:
            bias = form.convert(self.tensor(self.hidden_in(self.bias, mask) if in_mask else self.bias))
            self.arguments["bias"] = (bias.detach().requires_grad_(leaves), numbers(bias))
        if given is not None:
            self.arguments["mask"] = (given, numbers(given))
        recorder = check.current().recorder
        if recorder is not None:
            recorder.begin(self.case, self.module, (q, k, v, given), grad=self.case.grad or leaves)
            recorder.calls[-1].subject = self.subject
        with torch.set_grad_enabled(self.case.grad or leaves):
            output, weights, lse = guard(
                f"the call with {_shapes(query=query, key=key, value=value, mask=mask)}",
                lambda: tuple(map(plain, self._call(q, k, v, given))),
            )
        self.check_form(output, weights, query.shape[0], query.shape[1], key.shape[1])
        if self.subject.caller.lse_from is not None:
            self._check_lse(lse, [query.shape[0], self.case.head, query.shape[1]])
        projections, given_bias = self.projections, self.bias
        effective = self.effective(mask, query, key)
        answer = Answer(
            numbers(output),
            numbers(weights) if is_tensor(weights) else None,
            effective,
            (output, weights if is_tensor(weights) else None),
            self.subject.contract.fully_masked_row,
            lambda: self._oracle(query, key, value, projections, effective, given_bias),
            numbers(lse) if is_tensor(lse) else None,
        )
        if (call := check.current().call) is not None:
            call.answer = answer.drawn
        if recorder is not None:
            recorder.calls[-1].answer = answer
        return answer

    def expect(self, bias: Array) -> MultiHead:
        """Return what the case's tensors give without a mask, with a bias [B, Tq, Tk] added to the scores."""
        whole = self.effective(None, self.query, self.key)
        return self._oracle(self.query, self.key, self.value, self.projections, whole, bias)

    def expect_under(self, mask: Mask | None) -> MultiHead:
        """Return what the case's tensors give under another mask [B, Tq, Tk]."""
        return self._oracle(self.query, self.key, self.value, self.projections, mask, self.bias)

    def _oracle(
        self,
        query: Array,
        key: Array,
        value: Array,
        projections: ProjectionWeights,
        mask: Mask | None,
        bias: Array | None = None,
    ) -> MultiHead:
        fully_masked_row: FullyMaskedRow = "uniform" if self.subject.contract.fully_masked_row == "uniform" else "zeros"
        return multi_head(
            query,
            key,
            value,
            projections,
            self.case.head,
            mask,
            self.precision,
            fully_masked_row,
            bias,
            exact_heads=self.exact_heads,
            formula=self.formula,
        )

    def hidden_in(self, bias: Array, mask: Mask | None) -> Array:
        """Return a bias that says what is masked, too: -inf there, or the least finite number."""
        if mask is None:
            return bias
        hidden = torch.finfo(self.dtype).min if self.subject.caller.finite_masks else -np.inf
        return np.where(np.broadcast_to(mask[:, None], (bias.shape[0], 1, *mask.shape[1:])), bias, hidden)

    def tensor(self, x: Array, layout: str = "contiguous") -> Tensor:
        """Return a new tensor of the case's dtype with these numbers."""
        return to_tensor(x, self.dtype, self.subject.device, layout)

    def convert(self, mask: Mask) -> Tensor:
        """Return a mask [B, Tq, Tk] in the form that the subject takes; without one, the property is not applicable."""
        tensor = torch.tensor(mask, device=self.subject.device)
        if not self.subject.caller.can_express(tensor):
            form = self.subject.contract.mask_shape
            check.inapplicable(f"needs masks that {form} cannot express{', as lengths' if form in LENGTH_SHAPES else ''}")
        if self.case.mask == "broadcast" and tensor.size(0) and bool((tensor == tensor[:1]).all()):
            tensor = tensor[:1].expand(tensor.shape)
        return self.subject.caller.convert(tensor, self.dtype, self.case.head)

    def call_unchecked(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> tuple[Any, Any]:
        """Call the module with tensors as they are; the mask is in the subject's own form. Nothing is checked."""
        return self._call(query, key, value, mask)[:2]

    def _call(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> tuple[Any, Any, Any]:
        # A subject that draws random numbers draws the same ones each time. (torch.manual_seed would visit every
        # backend that is there, at the cost of all the rest.)
        if self.subject.device == "cpu":
            torch.default_generator.manual_seed(self.case.seed)
        else:
            torch.manual_seed(self.case.seed)
        return self.caller.with_lse(self.module, query, key, value, mask, self.case.need_weights)

    def _check_lse(self, lse: Any, shape: list[int]) -> None:
        got = list(lse.shape) if is_tensor(lse) else f"a {type(lse).__name__}"
        if got != shape:
            check.fail(f"log-sum-exp is {got}, but must be a tensor {shape}", what="log-sum-exp", observed=got, required=shape)

    def check_form(self, output: Any, weights: Any, batch: int, queries: int, keys: int) -> None:
        """Fail unless output is a tensor [B, Tq, d_model] of the case's dtype, and weights, if any, [B, head, Tq, Tk]."""
        shape = [batch, queries, self.case.d_model]
        if not is_tensor(output):
            check.fail(f"output is a {type(output).__name__}, but must be a tensor {shape}", what="output")
        if output.device.type != torch.device(self.subject.device).type:
            check.fail(f"output is on {output.device}, but must be on {self.subject.device}", what="output")
        if list(output.shape) != shape:
            check.fail(
                f"output has shape {list(output.shape)}, but must be {shape}",
                what="output", observed=list(output.shape), required=shape,
            )  # fmt: skip
        if self.subject.caller.weights_from is not None and self.case.need_weights:
            expected = [batch, self.case.head, queries, keys]
            got = list(weights.shape) if is_tensor(weights) else f"a {type(weights).__name__}"
            if got != expected:
                check.fail(f"weights are {got}, but must be a tensor {expected}", what="weights")


def _shapes(**arrays: NDArray[Any] | None) -> str:
    return ", ".join(f"{name} {list(x.shape)}" for name, x in arrays.items() if x is not None)
