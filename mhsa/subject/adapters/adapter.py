"""What mhsa must know of an implementation: how it is built, called and read. Users extend ``Adapter``."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from mhsa.records.contract import Contract
from mhsa.records.errors import SubjectError
from mhsa.records.names import DROPOUT, is_called
from mhsa.records.understood import Understood
from mhsa.subject.projection_views import Projections

Inputs = Literal["qkv", "q,kv", "x"]


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
        apart: paths of parameters that are no maps of the attention.
        square: whether it is judged with as many queries as keys alone.
        reset: a method of the module that drops what calls have kept for later ones, if it must come before each.
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
    apart: frozenset[str] = frozenset()
    square: bool = False
    reset: str = ""

    def build(self, head: int, d_model: int) -> nn.Module:
        """Return a new module with these sizes."""
        raise NotImplementedError(f"{type(self).__name__} must define build(self, head, d_model) and return a module")

    def build_dropping(self, head: int, d_model: int, rate: float) -> nn.Module | None:
        """Return a new module that drops with probability ``rate`` in training; None if that cannot be set.

        By default every ``nn.Dropout`` in the module, and every float attribute with a usual name, is set.
        """
        module = self.build(head, d_model)
        return module if set_dropout(module, rate) else None

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


def contract_of(target: Any, name: str) -> Contract | None:
    """Return the contract that a class, a built module or a function carries as ``mhsa_contract``."""
    declared = getattr(target, "mhsa_contract", None)
    if declared is not None and not isinstance(declared, Contract):
        raise SubjectError(f"{name}: mhsa_contract is a {type(declared).__name__}; must be an mhsa.Contract")
    return declared


def in_eval_mode(module: nn.Module) -> nn.Module:
    """Return the module in eval mode: ``eval()`` returns what ``train`` does, which is None where a class forgets it."""
    module.eval()
    return module


def set_dropout(module: nn.Module, rate: float) -> bool:
    """Set every dropout in ``module`` that has a rate, or all where none has one; return whether there was one.

    One that is off beside others was switched off: it may be of queries and keys, where plain attention drops nothing.
    """
    rates: list[tuple[nn.Module, str]] = []
    for part in module.modules():
        rates += [(part, n) for n, x in vars(part).items() if isinstance(x, float) and is_called(n, DROPOUT)]
        rates += [(part, "p")] if isinstance(part, nn.modules.dropout._DropoutNd) and (part, "p") not in rates else []
    on = [(part, name) for part, name in rates if getattr(part, name)]
    for part, name in on or rates:
        setattr(part, name, rate)
    return bool(rates)
