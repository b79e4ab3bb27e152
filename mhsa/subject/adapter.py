"""How mhsa builds, calls and reads one implementation. ``Adapter`` is the base class that users extend."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mhsa.records.contract import Contract, Layout
from mhsa.records.errors import SubjectError
from mhsa.records.names import DROPOUT, HEAD, HEAD_WIDTH, MASK, is_called, number
from mhsa.records.understood import Understood
from mhsa.reference.core_slot import slot_rest
from mhsa.reference.multi_head import MultiHeadAttention
from mhsa.subject.construction.built_sizes import sizes_of
from mhsa.subject.construction.constructor import Constructor
from mhsa.subject.construction.float32_only import called_in_float32
from mhsa.subject.construction.lazy_parameters import SAID as LAZY
from mhsa.subject.construction.lazy_parameters import give_sizes
from mhsa.subject.forms import rotary_tables
from mhsa.subject.forms.bias_form import WithBias, biased
from mhsa.subject.forms.heads_function import HeadsFunction, usual_form
from mhsa.subject.forms.mask_form import MaskForm
from mhsa.subject.projections import Projections
from mhsa.subject.returned import listed
from mhsa.subject.signature import Signature, bias_among, masks_among, read_signature

Inputs = Literal["qkv", "q,kv", "x"]
_DROPOUT = 0.1  # of every module that takes a rate: one that eval() does not switch off shall show


class Adapter:
    """Describe an implementation that mhsa does not understand by itself; see docs/adapters.md.

    Attributes:
        inputs: ``"qkv"`` if query, key and value may differ, ``"q,kv"`` if key is value, ``"x"`` for self-attention only.
        takes_mask: whether ``call`` can be given a mask.
        sizes: (head, d_model) if the module exists in one size only, else None.
        needs_mask: whether a call needs a mask: where a case has none, a mask that allows everything is passed.
        weights_on_request: whether ``call`` takes one more argument, ``need_weights``, True or False.
        contract: the conventions to judge it by.
        takes_bias: whether ``call`` takes one more argument, ``bias``: None, or under the contract bias = "given" a floating
            [B or 1, H or 1, Tq, Tk] that is added to the scores.
        not_given: arguments that ``call`` leaves at their defaults, if any: the verdict says that they are not judged.
        understood: how the constructor and the call were understood, part by part, where mhsa has read it.
    """

    inputs: Inputs = "qkv"
    takes_mask: bool = True
    takes_bias: bool = False
    needs_mask: bool = False
    weights_on_request: bool = False
    sizes: tuple[int, int] | None = None
    contract: Contract = Contract()
    not_given: tuple[str, ...] = ()
    understood: tuple[Understood, ...] = ()

    def build(self, head: int, d_model: int) -> nn.Module:
        """Return a new module with these sizes."""
        raise NotImplementedError(f"{type(self).__name__} must define build(self, head, d_model) and return a module")

    def build_dropping(self, head: int, d_model: int, rate: float) -> nn.Module | None:
        """Return a new module that drops with probability ``rate`` in training; None if that cannot be set.

        By default every ``nn.Dropout`` in the module, and every float attribute with a usual name, is set.
        """
        module = self.build(head, d_model)
        return module if _set_dropout(module, rate) else None

    def call(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Any:
        """Call ``module`` and return the output [B, Tq, d_model], or (output, weights [B, head, Tq, Tk]).

        query is [B, Tq, d_model], key and value are [B, Tk, d_model]; mask is None, or a bool [B, Tq, Tk] that is True
        where the query may attend, unless ``contract`` says otherwise.
        """
        return module(query, key, value, mask)

    def projections(self, module: nn.Module) -> Projections | None:
        """Return views of the module's four maps; None lets mhsa find them by name, shape and gradient."""
        return None

    def describe(self) -> str:
        """Return one line on how the implementation is called."""
        return "called by the user's adapter"


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
        self.options: dict[str, Any] = {}  # arguments of the constructor beside those that its names call for
        self.constructor: Constructor | None = None  # None for a built module
        self._d_k = 1  # of the module that was built last
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
            self.declared = self.declared or contract_of(self.owner, name)  # a factory's promises are those of what it builds
        self.contract = self.declared or self.contract
        owner: Any = self.owner
        self.signature: Signature = read_signature(owner.forward, name, method=True)
        self.inputs = self.signature.inputs
        self.takes_mask = self.signature.mask is not None
        self.weights_on_request = self.signature.want_weights is not None
        self.not_given = self.signature.not_given
        self.also: dict[str, Any] = {}  # further arguments of every call

    def with_signature(self, signature: Signature) -> ModuleAdapter:
        """Return this adapter for other roles of forward's arguments."""
        other = copy.copy(self)
        other.signature, other.inputs, other.takes_mask = signature, signature.inputs, signature.mask is not None
        other.not_given = signature.not_given
        return other

    def build(self, head: int, d_model: int) -> nn.Module:
        """Construct with the arguments that its parameter names call for."""
        self._d_k = d_model // head
        return self._with_sizes(self._make(**(self.construction(head, d_model) or {})), d_model)

    def construction(self, head: int, d_model: int) -> dict[str, Any] | None:
        """Return the arguments of the constructor; None for a built module."""
        if self._arguments is None:
            return None
        return self._arguments(head, d_model, _DROPOUT, self.kv_heads(head, d_model), self.contract) | self.options

    def kv_heads(self, head: int, d_model: int) -> int | None:
        """Return how many heads keys and values get where they are declared to be fewer; None: as many as queries.

        A constructor that has no parameter for it, or is given it by the user, has the number that it has.
        """
        declared = self.contract.kv_heads
        if declared is None:
            return None
        if isinstance(declared, int) and head % declared == 0:
            return declared
        fewer = [n for n in range(head - 1, 0, -1) if head % n == 0] or [1]
        return fewer[(d_model // head - 1) % len(fewer)]  # another divisor for another width

    def build_dropping(self, head: int, d_model: int, rate: float) -> nn.Module | None:
        """Construct with this dropout, if the constructor takes one."""
        if self._arguments is None or not self._dropout_argument:
            return super().build_dropping(head, d_model, rate)
        given = self._arguments(head, d_model, rate, self.kv_heads(head, d_model), self.contract) | self.options
        return self._with_sizes(self._make(**given), d_model)

    def _with_sizes(self, module: nn.Module, d_model: int) -> nn.Module:
        if isinstance(module, nn.Module) and give_sizes(module, d_model) and LAZY not in self.understood:
            self.understood = (*self.understood, LAZY)
        return module

    def call(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        need_weights: bool = False,
        bias: Tensor | None = None,
    ) -> Any:
        """Call forward by its own parameter names; a bias is given as the mask where it has no argument of its own."""
        name = self.signature.bias
        mask = bias if bias is not None and name is None else mask
        given = {**self.signature.bind(query, key, value, mask, need_weights), **self.also, **self._tables(module, query)}
        if name is not None and bias is None and self.signature.bias_required:
            bias = torch.zeros(1, 1, query.size(1), key.size(1), dtype=query.dtype, device=query.device)
        if name is not None and bias is not None:
            given[name] = bias
        return called_in_float32(module, given) if self.in_float32 else module(**given)

    def _tables(self, module: nn.Module, query: Tensor) -> dict[str, Any]:
        """Return the angles of rotary positions, where forward takes them from its caller."""
        if not self.signature.rotary:
            return {}
        rotary = self.contract.formula.rotary
        if rotary is None:  # a constructor is tried before anything is known of the contract
            raise TypeError(f"forward needs {', '.join(self.signature.rotary)}, and rotary is not declared")
        head = number(module, HEAD)
        d_k = number(module, HEAD_WIDTH) or (query.size(-1) // head if head else None) or self._d_k
        return {name: rotary_tables.given(name, rotary, query, d_k) for name in self.signature.rotary}

    def describe(self) -> str:
        """Return the call."""
        bias = self.signature.bias if self.contract.bias == "given" else None
        names = [n for n in self.signature.not_given if n not in self.signature.more and n != bias]
        left = f"; left at their defaults: {', '.join(names)}" if names else ""
        more = "" if bias is None else f", {bias}" if bias == "bias" else f", {bias}=bias"
        others = {n: given for n, given in self.signature.more.items() if n != bias}
        return f"forward({replace(self.signature, more=others).describe()}{more}){left}"


class TorchAdapter(Adapter):
    """``torch.nn.MultiheadAttention``: True blocks, masks come per head, a fully masked row is NaN."""

    weights_on_request = True
    not_given = ("key_padding_mask", "is_causal", "average_attn_weights=True")
    contract = Contract(
        mask="blocked",
        mask_shape="[B, Tq, Tk]",
        shape_mismatch="raises",
        fully_masked_row="nan",
        reason="torch.nn.MultiheadAttention returns NaN for a row with no allowed key when weights are requested: "
        "https://github.com/pytorch/pytorch/issues/41508",
    )

    def build(self, head: int, d_model: int) -> nn.Module:
        """Batch first, everything else as torch has it."""
        return nn.MultiheadAttention(d_model, head, batch_first=True)

    def build_dropping(self, head: int, d_model: int, rate: float) -> nn.Module:
        """Drop weights."""
        return nn.MultiheadAttention(d_model, head, dropout=rate, batch_first=True)

    def call(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        need_weights: bool = True,
        bias: Tensor | None = None,
    ) -> Any:
        """Repeat the mask for every head, which is the layout that torch documents; request weights per head.

        A bias [B, Tq, Tk] is a floating mask.
        """
        assert isinstance(module, nn.MultiheadAttention)
        mask = mask if bias is None else bias
        mask = None if mask is None else mask.repeat_interleave(module.num_heads, dim=0)
        return module(query, key, value, attn_mask=mask, need_weights=need_weights, average_attn_weights=False)

    def describe(self) -> str:
        """Return the call."""
        return "forward(query, key, value, attn_mask [B * head, Tq, Tk], average_attn_weights=False), batch_first"


class FunctionAdapter(Adapter):
    """A function on [B, H, T, d], judged inside the reference's one slot."""

    def __init__(self, function: Callable[..., Any], name: str, *, takes_mask: bool, takes_dropout: bool) -> None:
        self.function = function
        self.contract = Contract(shape_mismatch="raises")  # the reference looks at what it is given
        self.declared: Contract | None = None  # by the module whose forward the function is
        self.name = name
        self.takes_mask = takes_mask
        self.takes_dropout = takes_dropout
        self.values: tuple[int, int | None] | None = None  # places of Z and A among what it returns, where not (Z, A)
        self.float_masks = self.finite_masks = False
        self.callable_in: Layout | None = None  # the layout that it can be called in, where it is not the usual one
        self.not_given = tuple(n for n in slot_rest(function) if n != self.mask_name)

    @property
    def bias_name(self) -> str:
        """Name of the function's parameter for a bias of the scores; empty where it has none."""
        try:
            parameters = inspect.signature(self.function).parameters
        except (TypeError, ValueError):
            return ""
        return bias_among(parameters, masks_among(parameters)) or ""

    @property
    def mask_name(self) -> str:
        """Name of the function's parameter for the mask; empty where it has no readable one."""
        try:
            masks = masks_among(inspect.signature(self.function).parameters)
        except (TypeError, ValueError):
            return ""
        return masks[0] if masks else ""

    @property
    def mask_required(self) -> bool:
        """Whether the function's parameter for the mask has no default."""
        if not self.mask_name:
            return False
        return inspect.signature(self.function).parameters[self.mask_name].default is inspect.Parameter.empty

    @property
    def form(self) -> MaskForm:
        """The form in which the function takes its mask."""
        shape = self.contract.mask_shape or ("[B]" if self.contract.mask == "lengths" else "[B, 1, Tq, Tk]")
        return MaskForm(self.contract.mask, shape, self.float_masks, self.finite_masks)

    def read_as(self, contract: Contract, *, float_masks: bool = False, finite_masks: bool = False) -> FunctionAdapter:
        """Return this adapter for a function that takes heads and masks as the contract says."""
        other = copy.copy(self)
        other.contract, other.float_masks, other.finite_masks = contract, float_masks, finite_masks
        return other

    def build(self, head: int, d_model: int) -> nn.Module:
        """Plug the function into the reference module."""
        return MultiHeadAttention(head, d_model, _DROPOUT if self.takes_dropout else 0.0, attention=self._in_slot())

    def _passed_on(self, mask: Tensor) -> bool:
        """Whether the slot hands this mask on as it is, so that the function may write into it."""
        return mask.is_floating_point() and mask.dim() == 4 and self.form.meaning == "additive"

    def attend(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Any:
        """Call the function itself with heads [B, H, T, d] and a mask in the function's own form."""
        assert isinstance(module, MultiHeadAttention)
        if mask is not None and not usual_form(self.form) and not self._passed_on(mask):
            mask = self.form.allowed(mask, key.size(2), module.head)
            mask = mask.unsqueeze(1) if mask.dim() == 3 else mask
        if mask is None and self.mask_required:  # it may not be callable without
            mask = torch.ones(query.size(0), 1, query.size(2), key.size(2), dtype=torch.bool, device=query.device)
        z, weights = module._attend(query, key, value, module.dropout, mask)
        return z, weights() if callable(weights) else weights

    def build_dropping(self, head: int, d_model: int, rate: float) -> nn.Module | None:
        """Give the function its dropout, if it takes one."""
        return MultiHeadAttention(head, d_model, rate, attention=self._in_slot()) if self.takes_dropout or not rate else None

    def call(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None = None
    ) -> Any:
        """Call the reference, whose masks are bool; ``HeadsFunction`` turns them back.

        A bias goes to the function's argument for it, or to that of its mask.
        """
        if bias is not None and not self.bias_name:
            return self._biased(module, query, key, value, bias)
        with biased(bias):
            return self._of_reference(module, query, key, value, mask)

    def _biased(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Any:
        """Call the function with a bias as its mask: the reference around it knows of bool masks alone."""
        assert isinstance(module, MultiHeadAttention)
        z, module._weights = module._attend(*module._heads(query, key, value), module.dropout, bias)
        return module.linear_out(z.transpose(1, 2).flatten(2))

    def _of_reference(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Any:
        if mask is not None and not usual_form(self.form):
            assert isinstance(module, MultiHeadAttention)
            mask = self.form.allowed(mask, key.size(1), module.head)
        return module(query, key, value, mask)

    def _in_slot(self) -> Callable[..., Any]:
        function = self.function if self.values is None else _Arranged(self.function, *self.values)
        if self.bias_name and self.contract.bias == "given":
            parameter = inspect.signature(self.function).parameters[self.bias_name]
            function = WithBias(function, self.bias_name, required=parameter.default is parameter.empty)
        layout = self.contract.layout or self.callable_in or "BHTD"
        usual = layout == "BHTD" and usual_form(self.form)
        if usual and (not self.takes_mask or self.mask_name.lower() in MASK or not self.mask_name):
            return function
        return HeadsFunction(function, layout, self.form, self.mask_name)

    def projections(self, module: nn.Module) -> Projections:
        """Return the reference's own."""
        return Projections.of_linears(module.linear_query, module.linear_key, module.linear_value, module.linear_out)

    def describe(self) -> str:
        """Return the call."""
        return "function on [B, H, T, d] inside mhsa.MultiHeadAttention(head, d_model, attention=...)"


def contract_of(target: Any, name: str) -> Contract | None:
    """Return the contract that a class, a built module or a function carries as ``mhsa_contract``."""
    declared = getattr(target, "mhsa_contract", None)
    if declared is not None and not isinstance(declared, Contract):
        raise SubjectError(f"{name}: mhsa_contract is a {type(declared).__name__}; must be an mhsa.Contract")
    return declared


class _Arranged:
    """A function that returns its output and weights in other places, in a list, a dictionary or an object."""

    def __init__(self, function: Callable[..., Any], output: int, weights: int | None) -> None:
        self.__wrapped__ = function  # where inspect.signature looks for the names of its parameters
        self.__name__ = getattr(function, "__name__", repr(function))
        self._output, self._weights = output, weights

    def __call__(self, **named: Any) -> Any:
        """Return (Z, A), or Z where there are no weights."""
        values = listed(self.__wrapped__(**named))
        return values[self._output] if self._weights is None else (values[self._output], values[self._weights])


def _set_dropout(module: nn.Module, rate: float) -> bool:
    """Set every dropout in ``module``; return whether there was one."""
    has_dropout = False
    for part in module.modules():
        names = [n for n, x in vars(part).items() if isinstance(x, float) and is_called(n, DROPOUT)]
        names += ["p"] if isinstance(part, nn.modules.dropout._DropoutNd) else []
        for name in names:
            setattr(part, name, rate)
            has_dropout = True
    return has_dropout


def has_own_head_width(target: Any) -> bool:
    """Whether a constructor takes the width of a head, so that d_model need not be a multiple of head."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(is_called(p.name, HEAD_WIDTH) for p in parameters)
