"""Calls of a subject's module that is filled for one case, as often as a property needs, each with its answer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mhsa.oracle.bounded import Array, Bounded
from mhsa.records.conventions.values import LENGTH_SHAPES
from mhsa.subject import check
from mhsa.subject.adapters.adapter import in_eval_mode
from mhsa.subject.adapters.several_calls import is_square
from mhsa.subject.answer import Answer, Differentiated, Mask, ObservedGradients, expected_gradients
from mhsa.subject.autograd import backward_pass, by_name
from mhsa.subject.caller import Caller
from mhsa.subject.filled.predicted_module import PredictedModule
from mhsa.subject.guard import guard
from mhsa.subject.memory_layout import is_tensor, numbers, plain, tied, to_tensor
from mhsa.subject.returned_form import require_form, require_lse_form
from mhsa.subject.subject import Subject


class CaseMask(Enum):
    """The default of an argument ``mask``, for which None stands for a call without a mask."""

    UNCHANGED = "the mask of the case"


class Trial(PredictedModule):
    """A filled module that is called: with the case's tensors or others, and differentiated.

    Attributes:
        arguments: of the last call: the tensor that was passed, and the numbers that it held then.
    """

    arguments: Mapping[str, tuple[Tensor, Array]] = MappingProxyType({})

    def fresh_copy(self) -> Trial:
        """Return another module with the same parameters, which has not been called yet."""
        return Trial(self.subject, self.case, counted=False)

    def with_module(self, subject: Subject, module: nn.Module) -> Trial:
        """Return a trial of another subject's module on this one's case: its parameters, tensors and mask.

        Where this module has no bias, the other one's is zero.
        """
        twin = copy.copy(self)
        twin.subject, twin.arguments = subject, {}
        twin.use(in_eval_mode(module.to(device=subject.device, dtype=self.dtype)))
        for name, view in twin.views.views():
            role, _, kind = name.partition(".")
            part = getattr(self.projections, role)
            values = getattr(part, kind) if kind else part
            view.write(torch.zeros(view.shape) if values is None else torch.from_numpy(values))
        return twin

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

    def require_gradients(self) -> None:
        """End the property where the subject has no gradients: it computes with NumPy, or is for inference."""
        if self.subject.inference_only:
            check.inapplicable("needs gradients, and a docstring says that the subject is for inference alone")
        if getattr(self.module, "computes_with_numpy", False):
            check.inapplicable("needs gradients, and the subject computes with NumPy")

    def differentiate(
        self,
        d_output: Array | None,
        d_weights: Array | None = None,
        d_lse: Array | None = None,
        *,
        query: Array | None = None,
        key: Array | None = None,
        value: Array | None = None,
        mask: Mask | CaseMask | None = CaseMask.UNCHANGED,
        lay_out_gradient: Callable[[Tensor], Tensor] = lambda t: t,
    ) -> Differentiated:
        """Call the subject and differentiate <output, d_output> + <weights, d_weights> + <log-sum-exp, d_lse> by autograd.

        What does not require a gradient is left out, the output excepted. ``lay_out_gradient`` may lay d_output out in memory
        in another way. A violation if the backward pass raises.
        """
        self.require_gradients()
        inputs = self._inputs(query, key, value, mask)
        answer = self._answer(*inputs, leaves=True)
        starts = [] if d_output is None else [(answer.tensors[0], lay_out_gradient(self.tensor(d_output)))]
        for tensor, given in ((answer.tensors[1], d_weights), (answer.tensors[2], d_lse)):
            if given is not None and tensor is not None and tensor.requires_grad:
                starts.append((tensor, self.tensor(given).to(tensor.dtype)))
        if d_output is not None and not answer.tensors[0].requires_grad:
            check.fail("output does not require a gradient, but must: query and the parameters do", what="gradients")
        roles: dict[Tensor, list[str]] = {}
        for name, tensor in zip(("query", "key", "value"), self.last_tensors[:3], strict=True):
            roles.setdefault(tensor, []).append(name)
        form = self.subject.caller.bias_form
        bias = self.arguments["bias"][0] if form is not None and form.gradient and "bias" in self.arguments else None
        leaves = [*roles, *self.module.parameters(), *([] if bias is None else [bias])]
        of_tensors = guard("the backward pass", lambda: backward_pass(starts, leaves))
        observed, missing = by_name(of_tensors, {names[0]: tensor for tensor, names in roles.items()}, self.views, bias)
        if bias is not None:
            assert self.bias is not None
            observed["bias"] = observed["bias"].reshape(self.bias.shape)
        ties = {names[0]: names for names in roles.values()}
        fixed = self.views.fixed
        unjudged = fixed if bias is not None else {*fixed, "bias"}

        def expected() -> dict[str, Bounded]:
            of_all = expected_gradients(answer, ties, d_output, d_weights, d_lse, self.precision)
            return {name: gradient for name, gradient in of_all.items() if name not in unjudged}

        return Differentiated(answer, ObservedGradients(observed, fixed), missing, expected)

    def _inputs(
        self, query: Array | None, key: Array | None, value: Array | None, mask: Mask | CaseMask | None
    ) -> tuple[Array, Array, Array, Mask | None]:
        query = self.query if query is None else query
        key = self.key if key is None else key
        value = self.value if value is None else value
        return query, key, value, self.mask if isinstance(mask, CaseMask) else mask

    def _answer(self, query: Array, key: Array, value: Array, mask: Mask | None, *, leaves: bool = False) -> Answer:
        if query.shape[1] != key.shape[1] and is_square(self.subject.adapter):
            check.inapplicable("needs more or fewer keys than queries, with which the subject is not judged")
        q, k, v = tied(lambda x: self.tensor(x, self.case.layout).requires_grad_(leaves), query, key, value)
        if self.bias is not None and self.bias.shape[2:] != (query.shape[1], key.shape[1]):
            raise ValueError(f"a bias {self.bias.shape} for {query.shape[1]} queries and {key.shape[1]} keys")
        form = self.subject.caller.bias_form
        in_mask = form is not None and form.in_mask and self.bias is not None
        given = None if mask is None or in_mask else self.convert(mask)
        arguments = {"query": (q, query), "key": (k, key), "value": (v, value)}
        if form is not None and self.bias is not None:
            bias = form.convert(self.tensor(self.hidden_in(self.bias, mask) if in_mask else self.bias))
            arguments["bias"] = (bias.detach().requires_grad_(leaves and form.gradient), numbers(bias))
        if given is not None:
            arguments["mask"] = (given, numbers(given))
        self.arguments = arguments
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
            require_lse_form(lse, [query.shape[0], self.case.head, query.shape[1]])
        projections, given_bias = self.projections, self.bias
        effective = self.effective(mask, query, key)
        answer = Answer(
            numbers(output),
            numbers(weights) if is_tensor(weights) else None,
            effective,
            (output, weights if is_tensor(weights) else None, lse if is_tensor(lse) else None),
            self.subject.contract.fully_masked_row,
            lambda: self.predict(query, key, value, projections, effective, given_bias),
            numbers(lse) if is_tensor(lse) else None,
        )
        if (call := check.current().call) is not None:
            call.answer = answer.drawn
        if recorder is not None:
            recorder.calls[-1].answer = answer
        return answer

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
        if self.subject.told_by_sizes and tensor.size(0) == tensor.size(1) > 1:
            check.inapplicable("needs a mask that cannot be taken for one of another shape, which a docstring allows as well")
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

    def check_form(self, output: Any, weights: Any, batch: int, queries: int, keys: int) -> None:
        """Fail unless output is a tensor [B, Tq, d_model] of the case's dtype, and weights, if any, [B, head, Tq, Tk]."""
        require_form(self.subject, self.case, output, weights, batch, queries, keys)


def _shapes(**arrays: NDArray[Any] | None) -> str:
    return ", ".join(f"{name} {list(x.shape)}" for name, x in arrays.items() if x is not None)
