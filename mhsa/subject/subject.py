"""The implementation under test, loaded and understood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from mhsa.oracle.formula.fields import Fill
from mhsa.oracle.precision import PRECISIONS, Precision
from mhsa.records.case import CONTIGUOUS, LAYOUTS, MASKS, Case, Tie
from mhsa.records.contract import Contract
from mhsa.records.understood import Understood
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.caller import Caller
from mhsa.subject.forms.mask_conversion import ALIKE_FOR_QUERIES
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.projection_views import Projections


@dataclass(frozen=True)
class Switch:
    """A switch in the position that is not its default.

    Attributes:
        words: ``causal=True``.
        adapter: which builds or calls the implementation so.
        contract: what it then computes.
        square: whether it is tested only where there are as many queries as keys: only there is one answer usual.
    """

    words: str
    adapter: Adapter
    contract: Contract
    square: bool = False

    def of(self, subject: Subject) -> Subject:
        """Return the subject with the switch in this position."""
        caller = replace(subject.caller, adapter=self.adapter, contract=self.contract)
        return replace(subject, adapter=self.adapter, contract=self.contract, caller=caller, switches=())


@dataclass(frozen=True)
class Subject:
    """One implementation, ready to be judged; :func:`mhsa.introspect.resolve.understand` makes it.

    Attributes:
        name: what the user typed.
        adapter: how it is built, called and read.
        contract: the adapter's, filled in with what calling it has shown.
        dtypes: to judge it in.
        device: to judge it on.
        bind: views of the four maps of a module with these sizes.
        caller: the canonical call, with the form of the mask and the places of output and weights.
        refuses: the constructor that must refuse d_model % head != 0, if there is one to judge.
        unregistered: says which layers or tensors torch does not know of, if some are; then nothing else can be judged.
        literals: integers in its source, near which sizes are drawn too.
        constants: all numbers in its source, which a diagnosis tries in the mutants' places for them.
        place: file and line of its own code, if it has any.
        notes: what was understood, as (topic, words) to print.
        understood: the same part by part, with how each is known and what would declare it.
        not_judged: what a user can reach and no property tries, each in a few words: ``argument key_padding_mask``.
        fill: the finite number that was found to hide masked keys, where none is declared.
        layer: what is computed around the attention, as a formula, and wrong_layer: what is wrong with that; or empty.
        layers_with_masks: layers of its file whose masks have names that say whose they are, and wrong_masks: which of them
            hands a wrong one to an attention, or empty.
        switches: options that are judged in their other position, too.
        fewest_heads: with which it is judged.
        no_weights: what is wrong with weights that are given with their axes in another order, or empty.
        wrong_weights: what is wrong with weights of a part of the heads, or empty.
        told_by_sizes: whether its docstring gives masks [Tq, Tk] and masks [B, Tk], which sizes alone tell apart.
        power_of_two_heads: whether the constructor takes powers of two alone as the number of heads, and says so.
        inference_only: whether its docstring says that it is for inference alone, and its output has no gradient.
        wrong_pair: what is wrong with two masks that are given together, or empty.
        wrong_call: what is wrong with a call that no property makes, of an optional argument say, or empty.
    """

    name: str
    adapter: Adapter
    contract: Contract
    dtypes: tuple[str, ...]
    device: str
    bind: Callable[[nn.Module, Sizes], Projections]
    caller: Caller
    refuses: Callable[[int, int], Any] | None = None
    unregistered: str = ""
    literals: tuple[int, ...] = ()
    constants: tuple[float, ...] = ()
    place: tuple[str, int] | None = None
    notes: tuple[tuple[str, str], ...] = ()
    understood: tuple[Understood, ...] = ()
    not_judged: tuple[str, ...] = ()
    no_weights: str = ""
    wrong_weights: str = ""
    told_by_sizes: bool = False
    power_of_two_heads: bool = False
    inference_only: bool = False
    wrong_pair: str = ""
    wrong_call: str = ""
    fill: Fill | None = None
    layer: str = ""
    wrong_layer: str = ""
    layers_with_masks: tuple[str, ...] = ()
    wrong_masks: str = ""
    switches: tuple[Switch, ...] = ()
    fewest_heads: int = 1

    def under(self, contract: Contract) -> Subject:
        """Return the subject as it is called and judged under another contract."""
        return replace(self, contract=contract, caller=replace(self.caller, contract=contract))

    def precision(self, dtype: str) -> Precision:
        """How results in this dtype are rounded, by the contract."""
        precision = PRECISIONS[dtype]
        if dtype == "float64" and self.contract.float64_in == "float32":
            return replace(PRECISIONS["float32"], name="float64")
        return replace(precision, accumulation=precision.unit) if self.contract.accumulation == "dtype" else precision

    def features(self, d_k: int) -> int:
        """Return the width of a head that is at least this one and can be judged: rotated features are even in number."""
        rotary = self.contract.formula.rotary
        return d_k if rotary is None else -(-d_k // rotary.step) * rotary.step

    def heads(self, wanted: int) -> int:
        """Return a number of heads that it can be built with: this one, or the next power of two."""
        return 1 << (wanted - 1).bit_length() if self.power_of_two_heads else wanted

    @property
    def ties(self) -> tuple[Tie, ...]:
        """Whether query, key and value may be different tensors, the freest first."""
        free: dict[str, tuple[Tie, ...]] = {"qkv": ("none", "kv", "all"), "q,kv": ("kv", "all"), "x": ("all",)}
        return free[self.adapter.inputs]

    @property
    def layouts(self) -> tuple[str, ...]:
        """How query, key and value may lie in memory."""
        return CONTIGUOUS if self.contract.strides == "contiguous" else LAYOUTS

    @property
    def biases(self) -> tuple[str, ...]:
        """Kinds of a given bias that the implementation takes."""
        return () if self.caller.bias_form is None else self.caller.bias_form.kinds

    @property
    def masks(self) -> tuple[str, ...]:
        """Kinds of masks that the implementation can be given."""
        if not self.adapter.takes_mask:
            return ("none",)
        if self.contract.mask_shape == "[B, Tq]":  # the first keys, as many for each query as is wanted
            return "none", "all", "padding", "causal"
        if self.contract.mask_shape in ALIKE_FOR_QUERIES:
            return "none", "all", "padding"
        if self.contract.mask_shape == "[Tq, Tk]":
            return "none", "all", "causal", "broadcast"
        return tuple(kind for kind in MASKS if kind != "fully_masked_row" or self.contract.fully_masked_row != "raises")


def in_a_position(subject: Subject, case: Case) -> tuple[Subject, Case, str]:
    """Return the subject with its switches as they stand, or with one of them turned, and the words for what is compared.

    The case's seed decides, so that a case that is replayed is judged in the same position.
    """
    chosen = case.seed % (1 + len(subject.switches))
    if not chosen:
        return subject, case, "output"
    switch = subject.switches[chosen - 1]
    case = case.resized(query_length=case.key_length) if switch.square else case
    return switch.of(subject), case, f"with {switch.words}, output"
