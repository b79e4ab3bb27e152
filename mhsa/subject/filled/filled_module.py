"""A subject's module with the parameters of one case, and the tensors, mask and bias of that case."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from mhsa.oracle.attention import Linear, ProjectionWeights, shared_heads
from mhsa.oracle.bounded import Array
from mhsa.oracle.precision import Precision
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.adapters.adapter import in_eval_mode
from mhsa.subject.answer import Mask
from mhsa.subject.computed_views import ComputedView
from mhsa.subject.forms.mask_conversion import ALIKE_FOR_QUERIES
from mhsa.subject.guard import guard
from mhsa.subject.memory_layout import numbers, tied
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.projection_views import Projections
from mhsa.subject.subject import Subject


def batch_norms(module: nn.Module) -> list[nn.Module]:
    """Return the layers of a module that normalise over the batch in train mode, torch's BatchNorm of any kind."""
    return [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]


class FilledModule:
    """One module, built for the case and filled with its parameters.

    Attributes:
        module: the subject's, in eval mode.
        query, key, value: the case's tensors, rounded to its dtype, as float64 numbers; tied ones are one object.
        mask: bool [B, Tq, Tk] or None, before it is turned into the form that the subject takes.
        bias: [B or 1, H or 1, Tq, Tk] that is given and added to the scores, as float64 numbers; or None.
        formula: what the subject computes, by its contract.
        views: the module's parameters, to be read and written.
        projections: the same as the oracle wants them.
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
        self.sizes = Sizes(case.head, case.d_k)
        self.dtype: torch.dtype = getattr(torch, case.dtype)
        self.precision: Precision = subject.precision(case.dtype)
        self.formula = subject.contract.formula
        call = check.CurrentCall(lambda: case.as_dict() | {"words": str(case)}, case.dtype)
        if counted:
            check.current().start(call)
        if module is None and subject.power_of_two_heads and case.head & (case.head - 1):
            check.inapplicable("needs a number of heads that is no power of two, which the subject refuses")
        if module is None:
            module = guard("building it", lambda: subject.adapter.build(case.head, case.d_model))
        self.use(in_eval_mode(module.to(device=subject.device, dtype=self.dtype)))
        self.fill(case)
        self.query, self.key, self.value = self.round_inputs(case)
        self.mask = self.draw_mask(case)
        self.bias = self.draw_bias(case)
        call.inputs = self.show

    def use(self, module: nn.Module) -> None:
        """Call this module from now on."""
        self.module = module
        self.views: Projections = self.subject.bind(module, self.sizes)

    def train(self, mode: bool = True) -> None:
        """Set the module to train mode, but for layers that normalise over the batch: their output there is no token's own."""
        self.module.train(mode)
        for layer in batch_norms(self.module):
            layer.eval()

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
        # Keys are queries, and have no row of their own: what hides a token as a key hides it as a query.
        if mask is not None and self.subject.contract.padded_queries == "zero":
            mask = mask & mask[:, :1].swapaxes(1, 2)
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
                    if self.inner != self.case.d_model or self.d_v != self.d_k:
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
        """Return in words that the subject's inner width is not d_model, or that of its values another one."""
        if self.d_v != self.d_k:
            return f"the subject's values have {self.d_v} features a head, where its queries have {self.d_k}"
        return "the subject's have an inner width that is not d_model"  # without numbers: reasons alike are told once

    def round(self, x: Array) -> Array:
        """Round numbers to the case's dtype."""
        return numbers(torch.from_numpy(np.require(x, requirements="W")).to(self.dtype))  # torch warns of what is read-only

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

    def cotangent(self, stream: int, shape: tuple[int, ...]) -> Array:
        """Return numbers for a gradient to start from, of the case's kind."""
        rng = self.case.rng(stream)
        whole = self.case.data in ("integers", "ties", "repeated")
        return self.round(
            rng.integers(1, 3, size=shape) * rng.choice([-1.0, 1.0], size=shape) if whole else rng.standard_normal(shape)
        )
