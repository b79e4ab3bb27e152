"""An nn.Module, a class or a factory: its constructor and its forward are understood by their parameter names."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mhsa.records.contract import Contract
from mhsa.records.names import HEAD, HEAD_WIDTH, is_called, number
from mhsa.reference.multi_head import MultiHeadAttention
from mhsa.source.kept_between_calls import reset_of
from mhsa.subject.adapters.adapter import Adapter, contract_of
from mhsa.subject.adapters.fixed_dropout import fixed_dropouts, rates, set_fixed
from mhsa.subject.adapters.fixed_lengths import built_for_any, of_lengths
from mhsa.subject.adapters.input_widths import Inputs, widened, widths_of
from mhsa.subject.adapters.window_tables import window_of_call
from mhsa.subject.built.set_apart import as_buffers, freeze
from mhsa.subject.construction.argument_roles import DROPOUT_RATE
from mhsa.subject.construction.built_sizes import sizes_of
from mhsa.subject.construction.constructor import Constructor
from mhsa.subject.construction.float32_only import called_in_float32
from mhsa.subject.construction.lazy_parameters import SAID as LAZY
from mhsa.subject.construction.lazy_parameters import give_sizes
from mhsa.subject.forms import rotary_tables
from mhsa.subject.forms.key_heads import key_heads
from mhsa.subject.signature import Signature, call_of, read_signature


class ModuleAdapter(Adapter):
    """An nn.Module, its constructor and its forward understood by their parameter names."""

    judges_switches = True  # of causality; not those of torch's own, which are hints about a mask

    def __init__(
        self, target: Any, name: str, more: Mapping[str, Any] | None = None, head: str | None = None,
        declared: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Read the constructor and forward; ``declared`` are fields of the contract that replace what the class declares."""
        self.name = name
        if target is MultiHeadAttention:
            self.contract = Contract(mask="allowed", layout="BTD", shape_mismatch="raises", indivisible="raises")
        self.declared = contract_of(target, name)
        self._arguments: Callable[[int, int, float, int | None, Contract], dict[str, Any]] | None = None
        self._dropout_argument = False
        self.options: dict[str, Any] = {}  # arguments of the constructor in addition to those that its names call for
        # Widths of values that are given one more feature for each head: arguments that are the width of one, or of all.
        self.wider_values: dict[str, Literal["one head", "all heads"]] = {}
        self.constructor: Constructor | None = None  # None for a built module
        self._d_k = 1  # of the module that was built last
        self.other_widths: Inputs = {}  # arguments of the constructor that are widths of inputs, where these are not d_model
        self.rotary_form: rotary_tables.Form | None = None  # of tables of rotary positions, where the name does not say it
        self.of_fixed_lengths = False  # it takes the lengths alone that it is built for
        self.window = ""  # the argument that is height and width of a window, where it is built for that of each call
        self.apart = frozenset()  # parameters of the other direction of co-attention, which are frozen
        self.kept: dict[str, float] = {}  # parameters that are constants: buffers of their initial values times a factor
        self.in_float32 = False  # it can be called in float32 alone
        if isinstance(target, nn.Module):
            module = target
            self.sizes = sizes_of(module, name)
            self._make: Callable[..., nn.Module] = lambda: copy.deepcopy(module)
            self.owner: type[Any] = type(module)
        else:
            self._make = target
            known = replace(self.declared or self.contract, **(declared or {}))
            constructor = Constructor(target, name, more, head, known)
            self._arguments, self.sizes = constructor.arguments, constructor.sizes
            self._dropout_argument = constructor.drops
            self.understood, self.constructor = constructor.understood, constructor
            self.owner = target if isinstance(target, type) else type(self.build(*(self.sizes or (2, 8))))
            if self.declared is None:  # a factory's promises are those of what it builds
                self.declared = _of_what_is_built(self, name)
        self.contract = self.declared or self.contract
        owner: Any = self.owner
        self.signature: Signature = read_signature(call_of(owner), name, method=True)
        self.inputs = self.signature.inputs
        self.takes_mask = self.signature.mask is not None
        self.weights_on_request = self.signature.want_weights is not None
        self.not_given = self.signature.not_given
        self.also: dict[str, Any] = {}  # further arguments of every call
        self.query_mask_axis = False  # whether that mask has an axis of size 1 behind, [B, Tq, 1]
        self.reset = reset_of(owner)  # the method that drops what calls have kept, which is called before each
        self.query_mask = self.signature.stream_mask  # the argument for a mask of the queries, which is needed next to a mask

    def with_signature(self, signature: Signature) -> ModuleAdapter:
        """Return this adapter for other roles of forward's arguments."""
        other = copy.copy(self)
        other.signature, other.inputs, other.takes_mask = signature, signature.inputs, signature.mask is not None
        other.not_given = signature.not_given
        other.query_mask = signature.stream_mask or (self.query_mask if self.query_mask != self.signature.stream_mask else "")
        other.weights_on_request = signature.want_weights is not None
        return other

    def build(self, head: int, d_model: int) -> nn.Module:
        """Construct with the arguments that its parameter names call for."""
        self._d_k = d_model // head
        if self.of_fixed_lengths:
            return built_for_any(self._made, head, d_model, DROPOUT_RATE, windows=bool(self.window))
        return self._with_sizes(self._make(**(self.construction(head, d_model) or {})), d_model)

    def _made(self, head: int, d_model: int, rate: float) -> nn.Module:
        return self._with_sizes(self._make(**self._given(head, d_model, rate)), d_model)

    def construction(self, head: int, d_model: int) -> dict[str, Any] | None:
        """Return the arguments of the constructor; None for a built module."""
        if self._arguments is None:
            return None
        return self._given(head, d_model, DROPOUT_RATE)

    def _given(self, head: int, d_model: int, rate: float) -> dict[str, Any]:
        assert self._arguments is not None
        given = self._arguments(head, d_model, rate, self.kv_heads(head, d_model), self.contract)
        given |= widths_of(self.other_widths, d_model) | self.options
        if self.of_fixed_lengths and self.constructor is not None:
            given |= self.constructor.optional_lengths()
            given |= {self.window: window_of_call()} if self.window else {}
        wider = {n: given[n] + 1 if of == "one head" else d_model + head for n, of in self.wider_values.items()}
        return given | wider

    def kv_heads(self, head: int, d_model: int) -> int | None:
        """Return how many heads keys and values get where they are declared to be fewer; None: as many as queries.

        A constructor that has no parameter for it, or is given it by the user, has the number that it has.
        """
        return key_heads(self.contract.kv_heads, head, d_model // head)

    def build_dropping(self, head: int, d_model: int, rate: float) -> nn.Module | None:
        """Construct with this dropout, if the constructor takes one; parts that it does not reach are set next to others."""
        if self._arguments is None or not self._dropout_argument:
            return super().build_dropping(head, d_model, rate)
        if self.of_fixed_lengths:
            return built_for_any(self._made, head, d_model, rate, windows=bool(self.window))
        module = self._with_sizes(self._make(**self._given(head, d_model, rate)), d_model)
        if isinstance(module, nn.Module) and len(rates(module)) > 1:
            set_fixed(module, self._make(**self._given(head, d_model, rate / 2 or 0.5)), rate)
        return module

    def fixed_dropouts(self, module: nn.Module, head: int, d_model: int) -> tuple[str, ...]:
        """Return the paths of dropouts whose rate the constructor does not set, where it sets that of others."""
        if self._arguments is None or not self._dropout_argument or sum(rate > 0 for rate in rates(module).values()) < 2:
            return ()
        return fixed_dropouts(module, self._make(**self._given(head, d_model, 2 * DROPOUT_RATE)))

    def _with_sizes(self, module: nn.Module, d_model: int) -> nn.Module:
        if isinstance(module, nn.Module) and give_sizes(module, d_model) and LAZY not in self.understood:
            self.understood = (*self.understood, LAZY)
        return as_buffers(freeze(module, self.apart) if self.apart else module, self.kept)

    def call(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        need_weights: bool = False,
        bias: Tensor | None = None,
        of_queries: Tensor | None = None,
    ) -> Any:
        """Call forward by its own parameter names; a bias is given as the mask where it has no argument of its own.

        ``of_queries`` is the mask of the queries, where there is an argument for it.
        """
        name = self.signature.bias
        mask = bias if bias is not None and name is None else mask
        query, key, value = widened(self.other_widths, self.inputs, query, key, value)
        given = {**self.signature.bind(query, key, value, mask, need_weights), **self.also, **self._tables(module, query)}
        if of_queries is not None:
            given[self.query_mask] = of_queries
        if name is not None and bias is None and self.signature.bias_required:
            bias = torch.zeros(1, 1, query.size(1), key.size(1), dtype=query.dtype, device=query.device)
        if name is not None and bias is not None:
            given[name] = bias
        if self.of_fixed_lengths:
            module = of_lengths(self._made, module, query.size(1), key.size(1))
        if self.reset:
            with contextlib.suppress(Exception):  # before anything is kept there may be nothing to drop
                getattr(module, self.reset)()
        with _as_compiled(module):
            result = called_in_float32(module, given) if self.in_float32 else module(**given)
        flat = self.signature.gives_batch and isinstance(result, Tensor) and result.dim() == 2
        return result.unflatten(0, (query.size(0), -1)) if flat and result.size(0) % query.size(0) == 0 else result

    def _tables(self, module: nn.Module, query: Tensor) -> dict[str, Any]:
        """Return the angles of rotary positions, where forward takes them from its caller."""
        if not self.signature.rotary:
            return {}
        rotary = self.contract.formula.rotary
        if rotary is None:  # a constructor is tried before anything is known of the contract
            raise TypeError(f"forward needs {', '.join(self.signature.rotary)}, and rotary is not declared")
        head = number(module, HEAD)
        d_k = number(module, HEAD_WIDTH) or (query.size(-1) // head if head else None) or self._d_k
        return {name: rotary_tables.given(name, rotary, query, d_k, self.rotary_form) for name in self.signature.rotary}

    def describe(self) -> str:
        """Return the call."""
        bias = self.signature.bias if self.contract.bias == "given" else None
        names = [n for n in self.signature.not_given if n not in self.signature.more and n != bias]
        left = f"; left at their defaults: {', '.join(names)}" if names else ""
        more = "" if bias is None else f", {bias}" if bias == "bias" else f", {bias}=bias"
        others = {n: given for n, given in self.signature.more.items() if n != bias}
        return f"forward({replace(self.signature, more=others).describe()}{more}){left}"


def has_own_head_width(target: Any, adapter: Adapter) -> bool:
    """Whether a constructor takes the width of a head, by name or as it was read, so that d_model need not be a multiple."""
    constructor = adapter.constructor if isinstance(adapter, ModuleAdapter) else None
    if constructor is not None and constructor.head_widths:
        return True
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(is_called(p.name, HEAD_WIDTH) for p in parameters)


def _as_compiled(module: nn.Module) -> AbstractContextManager[Any]:
    """Return the context of a call: torch's optimiser of compiled modules fails where an argument is a tensor after None."""
    compiled = isinstance(module, torch.jit.ScriptModule)
    return torch.jit.optimized_execution(False) if compiled else contextlib.nullcontext()  # type: ignore[attr-defined]


def _of_what_is_built(adapter: ModuleAdapter, name: str) -> Contract | None:
    """Return the contract of a factory's class, or, of a class with ``mhsa_contract = None``, that of its objects."""
    if not hasattr(adapter.owner, "mhsa_contract") or adapter.owner.mhsa_contract is not None:
        return contract_of(adapter.owner, name)
    try:
        built = adapter.build(*(adapter.sizes or (2, 8)))
    except Exception:  # it is said when it is built to be judged
        return None
    return contract_of(built, name)
