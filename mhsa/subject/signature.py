"""Reads a forward method: which parameter is the query, the key, the value, the mask."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mhsa.records.errors import Question
from mhsa.records.languages.other_languages import in_english
from mhsa.records.names import (
    BIAS,
    CONTEXT,
    HIDING,
    KEY,
    KEY_MASK,
    MASK,
    PADDING,
    QUERY,
    QUERY_MASK,
    SELF,
    VAGUE_CONTEXT,
    VALUE,
    WANT_WEIGHTS,
    is_attended_to,
    is_called,
    is_lengths,
    pick,
)
from mhsa.subject.forms import rotary_tables
from mhsa.subject.forms.handed_on import takes_all_arguments
from mhsa.subject.forms.list_argument import unpacked
from mhsa.subject.forms.needless_arguments import NONE, OFF, Given, needless_arguments
from mhsa.subject.forms.required_switches import is_switch
from mhsa.subject.forms.token_sizes import Sizes, of_sizes, sizes_among
from mhsa.subject.forms.two_streams import mask_of_each

_OTHERS = CONTEXT - VAGUE_CONTEXT - SELF  # names of sequences that the queries are not of
_NUMBERS = (bool, int, float, "bool", "int", "float")  # annotations


@dataclass(frozen=True)
class Signature:
    """Names of the parameters that mhsa passes; ``want_weights``: of the switch that requests weights.

    ``not_given`` are parameters whose defaults are left alone, so nothing is known of them; ``mask_required``
    says that the mask has no default. ``own_mask`` is the mask of the query's own sequence, where ``mask`` is that of another
    one, the keys': it is given where the query attends to itself, and then the key, which is ``key_optional``, is left out.
    ``other_masks`` are masks that are left out, and ``guessed`` says that the places alone tell query, key and value apart.
    With ``mask_omitted`` a call without a mask leaves it at its default, which is not None. ``more`` are required arguments
    that mean nothing to attention, with what each is given. ``bias`` is a floating tensor that is added to the scores, given
    only where the contract says so.
    """

    query: str
    key: str | None
    value: str | None
    mask: str | None
    want_weights: str | None = None
    not_given: tuple[str, ...] = ()
    mask_required: bool = False
    own_mask: str | None = None
    other_masks: tuple[str, ...] = ()
    key_optional: bool = False
    guessed: bool = False
    mask_omitted: bool = False
    more: Mapping[str, Given] = field(default_factory=dict)
    rotary: tuple[str, ...] = ()  # what takes the angles or the places of rotary positions, and has no default
    bias: str | None = None
    bias_required: bool = False
    as_list: tuple[str, ...] = ()  # roles in the order in which one argument holds them: query, key, value = x
    streams: tuple[str, str] | None = None  # masks of two streams that attend to each other: the query's and the key's
    stream_mask: str = ""  # that of the query's stream, where it must be given
    co_attention: bool = False  # whether the key's stream attends to the query's, too, in an output of its own
    sizes: Sizes = ()  # arguments whose product is the number of tokens
    asks: str = ""  # the question about arguments of unknown names; they are given None, which counts only with an exact fit

    @property
    def gives_batch(self) -> bool:
        """Whether the number of samples is given, so that what is returned may have all tokens in one axis."""
        return any(given.words == "B" for given in self.more.values())

    @property
    def inputs(self) -> Literal["qkv", "q,kv", "x"]:
        """Which of query, key and value can differ."""
        return "qkv" if self.as_list else "x" if self.key is None else "q,kv" if self.value is None else "qkv"

    def bind(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, need_weights: bool) -> dict[str, Any]:
        """Keyword arguments of a call."""
        held = {"query": query, "key": key, "value": value}
        first = [held[role] for role in self.as_list] if self.as_list else query
        given: dict[str, Any] = {self.query: first, **{n: x.value(query) for n, x in self.more.items()}}
        alone = self.own_mask is not None and self.key_optional and key is query
        if self.key is not None and not alone:
            given[self.key] = key
        if self.value is not None:
            given[self.value] = value
        name = self.own_mask if alone else self.mask
        if name is not None and not (mask is None and self.mask_omitted):
            given[name] = mask
        if self.want_weights is not None:
            given[self.want_weights] = need_weights
        return given

    def describe(self) -> str:
        """Return the arguments as they are passed."""
        roles = {"query": self.query, "key": self.key, "value": self.value, "mask": self.mask}
        given = [n if n == role else f"{n}={role}" for role, n in roles.items() if n is not None]
        if self.as_list:
            given[0] = f"{self.query}=[{', '.join(self.as_list)}]"
        return ", ".join((*given, *(f"{n}={x.words}" for n, x in self.more.items())))


def read_signature(forward: Callable[..., Any], name: str, *, method: bool) -> Signature:
    """Read by the common names; where they say nothing, the first three required parameters are query, key, value.

    Raises:
        Question: the roles of the parameters are not clear, or one more is required.
    """
    listed = list(inspect.signature(forward).parameters.values())[1 if method else 0 :]
    parameters = {p.name: p for p in listed if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    required = [n for n, p in parameters.items() if p.default is p.empty]
    shown = f"{name}.forward({', '.join(map(str, listed))})"
    adapter = "Describe the call in an mhsa.Adapter (docs/adapters.md)"
    masks = masks_among(parameters)
    mask = masks[0] if masks else None
    query, key, value = (pick(parameters, names) for names in (QUERY, KEY, VALUE))
    if key and value and not query:  # forward(x, key=None, value=None)
        query = pick([n for n in parameters if n not in (key, value, *masks)], SELF)
    bias = bias_among(parameters, masks)
    known = {*masks, *rotary_tables.NAMES}
    more = needless_arguments({n: parameters[n] for n in required if n not in known})  # a bias that may be None, too
    tensors = [n for n in required if n not in (*known, bias, *more)]
    of_use = rotary_tables.tables_by_use(forward, [n for n in tensors[1:] if n not in (query, key, value)])
    tensors = [n for n in tensors if n not in of_use]
    nameless = [n for n in tensors[1:] if not is_called(n, QUERY | KEY | VALUE | CONTEXT | SELF)]
    more |= {n: OFF for n in nameless if is_switch(forward, n)}
    sizes, unsure = sizes_among(forward, more, [n for n in nameless if n not in more])
    more |= of_sizes(sizes)
    tensors = [n for n in tensors if n not in more]
    guessed = False
    if query and key and value:
        names: tuple[str, str | None, str | None] = (query, key, value)
    elif len(tensors) >= 3:
        names, guessed = (tensors[0], tensors[1], tensors[2]), True
    elif not (key or value) and (alone := query or pick(parameters, SELF) or (tensors[0] if tensors else None)):
        rest = [n for n in parameters if n not in (alone, bias, *masks)]
        left = [n for n in tensors if n != alone]
        context = pick(rest, CONTEXT)
        if not query and len(left) == 1 and _is_context_of(alone, left[0]):
            alone, context = left[0], alone  # forward(memory, decoder_input)
        names = (alone, context or (left[0] if len(left) == 1 else None), None)
        guessed = names[1] is not None
    elif not query and len(tensors) == 2 and mask_of_each((tensors[0], tensors[1]), masks):  # forward(v, l, mask_v, mask_l)
        names, guessed = (tensors[0], tensors[1], None), True
    elif query and (key or value):  # keys and values are made from one tensor: forward(q, k), forward(q, v)
        names = (query, key or value, None)
    else:
        raise Question(f"{shown}: which parameters are query, key and value is not clear. {adapter}")
    own = None
    if names[1] is not None and names[2] is None and (of_keys := pick(masks, KEY_MASK)):
        own, mask = next((n for n in masks if n.lower() in MASK), None), of_keys
    streams = mask_of_each((names[0], names[1]), masks) if guessed and names[1] and not names[2] and own is None else None
    if streams is not None:
        mask = streams[1]
    want = pick(parameters, WANT_WEIGHTS)
    not_given = tuple(n for n in parameters if n not in (*names, mask, own, want))
    signature = Signature(
        *names, mask, want, not_given, mask in required, own, tuple(n for n in masks if n not in (mask, own)),
        names[1] is not None and names[1] not in required, guessed,
        mask is not None and mask not in required and parameters[mask].default is not None,
        {n: x for n, x in more.items() if n not in (*names, mask, own, want)},
        bias=bias, bias_required=bias in required and bias not in more, sizes=sizes,
        streams=streams, co_attention=streams is not None, stream_mask=streams[0] if streams and streams[0] in required else "",
    )  # fmt: skip
    if unsure:
        given = ", ".join(f"{n}={x.words}" for n, x in of_sizes(sizes).items())
        asks = (
            f"{shown} needs {', '.join(unsure)}, which seems to be a size: with {given} it is not exactly attention. {adapter}"
        )
        signature = replace(signature, asks=asks)
    unknown = [n for n in required if n not in (*names, mask, own, bias, signature.want_weights, signature.stream_mask, *more)]
    if signature.key is None and (held := unpacked(forward, signature.query)):
        signature = replace(signature, as_list=held)
    if unknown and set(unknown) <= rotary_tables.NAMES | of_use:  # given where rotary is declared
        return replace(signature, rotary=tuple(unknown), not_given=tuple(n for n in not_given if n not in unknown))
    if unknown:
        none = dict.fromkeys(unknown, NONE)
        asks = f"{shown} needs {', '.join(unknown)}, and mhsa does not know what to give. {adapter}"
        return replace(signature, more={**signature.more, **none}, asks=asks)
    return signature


def _is_context_of(first: str, second: str) -> bool:
    """Whether the names of two sequences say that the second one attends to the first."""
    return is_attended_to(first, second) or (is_called(first, _OTHERS) and not is_called(second, CONTEXT))


def call_of(owner: type[Any]) -> Callable[..., Any]:
    """Return what a call of a module runs: its forward, or a ``__call__`` of its own where it has no forward.

    Of a ``torch.jit.ScriptModule`` it is what is compiled when one is built; of a forward that hands all on, what takes all.
    """
    compiled = getattr(owner, "_methods", {}).get("forward") if issubclass(owner, torch.jit.ScriptModule) else None
    if compiled is not None:
        written: Callable[..., Any] = compiled.original_method
        return written
    forward: Callable[..., Any] = owner.forward
    call: Callable[..., Any] = owner.__call__
    return takes_all_arguments(call if forward is nn.Module.forward and call is not nn.Module.__call__ else forward)


def bias_among(parameters: Mapping[str, inspect.Parameter], masks: Sequence[str]) -> str | None:
    """Return the parameter that is a bias of the scores by its name, and neither a mask, a number nor a switch."""
    given = [n for n, p in parameters.items() if not isinstance(p.default, (bool, int, float)) and p.annotation not in _NUMBERS]
    return pick([n for n in given if n not in masks], BIAS)


def masks_among(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    """Return the parameters that are masks by their names, the one that can say most first.

    Padding and lengths come behind, and masks of queries last. What is a number or a switch by its default or its annotation is
    none, whatever its name.
    """
    given = [n for n, p in parameters.items() if not isinstance(p.default, (bool, int, float)) and p.annotation not in _NUMBERS]
    called = {n: in_english(n).lower() for n in given}
    usual = [n for n in given if called[n] in MASK or called[n] in HIDING]
    padding = [n for n in given if called[n] in PADDING or ("mask" in called[n] and "pad" in called[n])]
    others = [n for n in given if "mask" in called[n] and n not in padding]
    lengths = [n for n in given if is_lengths(n)]
    listed = list(dict.fromkeys((*usual, *others, *padding, *lengths)))
    return sorted(listed, key=lambda name: is_called(name, QUERY_MASK))
