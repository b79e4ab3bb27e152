"""Functions on tokens that are given their weights, a number of heads or the tokens alone: a module that calls the function."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mhsa.records.errors import Question
from mhsa.records.names import HEAD, KEY, QUERY, VALUE, is_called
from mhsa.subject.forms.functions.of_one_tensor import attends_to_itself
from mhsa.subject.forms.functions.sizes_of_file import SizesOfFile, sizes_of_file
from mhsa.subject.forms.numpy_class import NO_GRADIENTS, uses_numpy, with_tensors
from mhsa.subject.returned import listed

_ROLE = "q|k|v|o|qkv|kv|query|key|value|out|output"
_GLUED = re.compile(rf"w({_ROLE})|({_ROLE})w|b({_ROLE})|({_ROLE})b", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_WEIGHT = {"w", "weight", "weights", "mat", "matrix", "kernel"}
_BIAS = {"b", "bias"}
_LETTERS = {"query": "q", "key": "k", "value": "v", "out": "o", "output": "o", "in": "qkv"}
_FIRST = (4, 20)  # heads and width of a first call
_FORMS = ("rows", "columns", "per head")  # of weights: [n * d_model, d_model], [d_model, n * d_model], [H, d_model, d_k]


class GivenWeights(nn.Module):
    """A function with the weights that it is given; a class of its own is made for each function.

    Attributes:
        not_judged: what is reachable of the function and never called, in words.
        weights: names of the arguments that are parameters.
        computes_with_numpy: whether the function takes arrays, and has no gradients.
        of_file: the sizes that stand in the function's file, where it takes them from there.
    """

    function: ClassVar[Callable[..., Any]]
    head: ClassVar[str]
    one_sample: ClassVar[bool]
    weights: ClassVar[Mapping[str, str]]
    form: ClassVar[str]
    not_judged: ClassVar[tuple[str, ...]]
    computes_with_numpy: ClassVar[bool]
    of_file: ClassVar[SizesOfFile | None] = None

    def __init__(self, d_model: int, num_heads: int = 1) -> None:
        super().__init__()
        self.d_model, self.num_heads = d_model, num_heads
        for name, roles in self.weights.items():
            shape = _shape(name, roles, self.form, num_heads, d_model)
            self.register_parameter(name, nn.Parameter(torch.randn(shape) / d_model**0.5))

    def answer(self, **given: Any) -> Any:
        """Call the function, once for each sample where it takes one alone."""
        more = {name: getattr(self, name) for name in self.weights} | ({self.head: self.num_heads} if self.head else {})
        if not self.one_sample:
            return type(self).function(**given, **more)
        count = next(x.size(0) for x in given.values() if isinstance(x, Tensor))

        def of(n: int) -> dict[str, Any]:
            return {k: x[n] if isinstance(x, Tensor) and x.dim() > 1 and x.size(0) == count else x for k, x in given.items()}

        rows = [listed(type(self).function(**of(n), **more)) for n in range(count)]
        together = tuple(torch.stack(each) if isinstance(each[0], Tensor) else each for each in zip(*rows, strict=True))
        return together if len(together) > 1 else together[0]

    def of_numpy(self, x: Tensor, tokens: Sequence[str]) -> Any:
        """Call the function with arrays of NumPy."""
        more = {n: getattr(self, n).detach().numpy() for n in self.weights} | ({self.head: self.num_heads} if self.head else {})
        return listed(type(self).function(**dict.fromkeys(tokens, x.numpy()), **more))[0]

    @classmethod
    def first(cls) -> GivenWeights:
        """Return a module of the sizes of a first call."""
        return cls(_FIRST[1], _FIRST[0])


class OfManyHeads(GivenWeights):
    """Takes a number of heads."""


class OfOneHead(GivenWeights):
    """Takes none, and has one head."""

    def __init__(self, d_model: int) -> None:
        super().__init__(d_model, 1)

    @classmethod
    def first(cls) -> GivenWeights:
        """Return a module of the width of a first call."""
        return cls(_FIRST[1])


class OfSizesInFile(GivenWeights):
    """Takes none, and has as many heads, or the width, that stand in its file."""

    def __init__(self) -> None:
        assert self.of_file is not None
        super().__init__(self.of_file.d_model, self.of_file.head)

    @classmethod
    def first(cls) -> GivenWeights:
        """Return the module of the one size that there is."""
        return cls()


def weights_among(function: Callable[..., Any]) -> dict[str, str]:
    """Return the arguments that are weights or biases, each with the letters of its maps; empty where these are not q, k, v."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}
    found = {p.name: letters for p in parameters if p.kind in (1, 3) and (letters := _letters(p.name))}
    of_weights = "".join(letters for name, letters in found.items() if not _is_bias(name))
    return found if all(of_weights.count(letter) == 1 for letter in "qkv") and of_weights.count("o") < 2 else {}


def with_weights(function: Any) -> type[GivenWeights] | None:
    """Return the class of modules that hold what a function is given; None where it is no such function.

    Such is given weights, a number of heads with queries, keys and values, or one tensor that attends to itself.

    Raises:
        Question: it takes arrays of NumPy.
    """
    of_arrays = inspect.isfunction(function) and uses_numpy(function)
    function = with_tensors(function) if of_arrays else function
    weights = weights_among(function) if inspect.isfunction(function) else {}
    parameters = dict(inspect.signature(function).parameters) if inspect.isfunction(function) else {}
    head = next((name for name in parameters if name not in weights and is_called(name, HEAD)), "")
    of_file = sizes_of_file(function) if inspect.isfunction(function) and not head else None
    alone = not weights and not head and inspect.isfunction(function) and attends_to_itself(function, of_file)
    if not weights and not alone and not (head and _takes_tokens(parameters)):
        return None
    called = [p for name, p in parameters.items() if name not in weights and name != head]

    def forward(self: GivenWeights, **given: Any) -> Any:
        return self.answer(**given)

    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    forward.__wrapped__ = function  # type: ignore[attr-defined]
    forward.__signature__ = inspect.Signature([itself, *called])  # type: ignore[attr-defined]
    optional = [name for name in weights if parameters[name].default is None]

    def made(kind: type[GivenWeights]) -> type[GivenWeights]:
        more = {
            "function": staticmethod(function), "head": head, "weights": weights, "forward": forward, "one_sample": False,
            "form": "rows", "__module__": function.__module__, "__doc__": function.__doc__,
            "not_judged": (*((NO_GRADIENTS,) if of_arrays else ()), *(f"calls without {name}" for name in optional)),
            "computes_with_numpy": of_arrays,
        }  # fmt: skip
        return type(function.__name__, (kind,), more)

    tokens = [p.name for p in called if p.default is p.empty and p.kind in (1, 3) and "mask" not in p.name]
    if of_file is not None:
        sized = made(OfSizesInFile)
        sized.of_file = of_file
        if _is_taken(sized, tokens, _FORMS):
            return sized
    many = made(OfManyHeads)
    if not alone and _is_taken(many, tokens, _FORMS if head else _FORMS[2:]):
        return many
    if not weights:
        return made(OfOneHead) if alone else None
    one = many if head else made(OfOneHead)
    if not head and _is_taken(one, tokens, _FORMS):
        return one
    if _is_taken(one, tokens, _FORMS, of_numpy=True):
        raise Question(f"{function.__name__} takes arrays of NumPy, and mhsa judges what computes with tensors of PyTorch")
    return one


def _takes_tokens(parameters: Mapping[str, inspect.Parameter]) -> bool:
    """Whether there are arguments for queries, keys and values."""
    return all(any(is_called(name, role) for name in parameters) for role in (QUERY, KEY, VALUE))


@torch.random.fork_rng(devices=[])
def _is_taken(made: type[GivenWeights], tokens: list[str], forms: Sequence[str], *, of_numpy: bool = False) -> bool:
    """Whether a call of a class returns tokens; the form of the weights and one sample alone are set as they are taken."""
    tokens_last = torch.randn(2, made.first().d_model, 3, dtype=torch.float64)
    one_query = {name: tokens_last.mT[:, :1] for name in tokens if is_called(name, QUERY)}
    ways = [(s, form, more) for more in ({}, one_query)[: 1 + bool(one_query)] for s in (False, True) for form in forms]
    laid = [(tokens_last.mT.contiguous(), *way) for way in ways] + [(tokens_last, False, forms[0], {})]
    for x, made.one_sample, made.form, more in laid:
        try:
            module: Any = made.first().double()
            if of_numpy:
                output = torch.from_numpy(module.of_numpy(x[0] if made.one_sample else x, tokens))
                expected = x[0].shape if made.one_sample else x.shape
            else:
                given = dict.fromkeys(tokens, x) | more
                output, expected = listed(module(**given))[0], given[tokens[0]].shape
            if isinstance(output, Tensor) and output.shape == expected:
                return True
        except Exception:
            continue
    made.one_sample, made.form = False, "rows"
    return False


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _is_bias(name: str) -> bool:
    words = _words(name)
    return bool(set(words) & _BIAS) or any(_GLUED.fullmatch(word) and "b" in (word[0], word[-1]) for word in words)


def _letters(name: str) -> str:
    """Return the letters, q, k, v, o, of the maps that an argument is the weight or bias of; empty where it is of none."""
    words = _words(name)
    glued = [match for word in words if (match := _GLUED.fullmatch(word))]
    if not glued and not set(words) & (_WEIGHT | _BIAS):
        return ""
    said = [next(filter(None, match.groups())) for match in glued] or [
        w for w in words if w in _LETTERS or w in _ROLE.split("|")
    ]
    letters = "".join(_LETTERS.get(word, word) for word in said)
    return letters if set(letters) <= set("qkvo") else ""


def _shape(name: str, letters: str, form: str, head: int, d_model: int) -> tuple[int, ...]:
    width = len(letters) * d_model
    if _is_bias(name):
        return (width,)
    if form == "per head" and len(letters) == 1:
        return (head, d_model // head, d_model) if letters == "o" else (head, d_model, d_model // head)
    return (d_model, width) if form == "columns" else (width, d_model)
