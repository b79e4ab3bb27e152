"""The adapter that a question shows where no contract can answer it: it describes the call, and can be pasted."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

from torch import nn

from mhsa.introspect.load import load
from mhsa.records.request import Request
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.construction.config_object import Config

_WIDTH = 79  # of a line: it fits 80 columns
INDENT = "    "  # of text; code stands at the left, so that it can be pasted as it is
_GIVEN = {
    "qkv": ("# query [B, Tq, d_model], key and value [B, Tk, d_model],",),
    "q,kv": ("# query [B, Tq, d_model], key [B, Tk, d_model]; value is key,",),
    "x": ("# query [B, T, d_model]; key and value are query,",),
}
_MASK = "# mask bool [B, Tq, Tk], True may attend, or None"


def wrapped(words: str, first: str = INDENT, rest: str = INDENT) -> list[str]:
    """Return lines that break between words only: a path or a name stays whole."""
    return textwrap.wrap(
        words, _WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def question_text(words: str) -> str:
    """Return a question's sentences in lines; the first one leaves room for what a terminal has before it."""
    return "\n".join(wrapped(words, " " * len("  question: "))).lstrip()


def sketch(adapter: Adapter, request: Request, target: Any) -> list[str]:
    """Return the instructions and the first code of an adapter, for a subject that takes something else than mhsa passes."""
    do = "If it takes something else, {} next to its file, change the marked {}, and run mhsa verify {}:"
    if isinstance(adapter, FunctionAdapter):
        say = do.format("wrap it: save this as my_attention.py", "line", "my_attention.py:attention")
        return [*wrapped(say), "", *_function(adapter, request)]
    if isinstance(adapter, ModuleAdapter):
        marked = "line" if adapter.takes_mask else "lines"
        say = do.format("describe the call (docs/adapters.md): save this as my_adapter.py", marked, "my_adapter.py")
        return [*wrapped(say), "", *_module(adapter, request, target)]
    kind = type(adapter)
    return wrapped(f"What it is given is decided in build() and call() of {kind.__name__}: change it there (docs/adapters.md).")


def _function(adapter: FunctionAdapter, request: Request) -> list[str]:
    lines, function = importing(request.spec, adapter.function)
    mask = ", mask" if adapter.takes_mask else ""
    return [
        *lines, "", "",
        f"def attention(query, key, value{', mask=None' if mask else ''}):",
        "    # query [B, H, Tq, d_k], key and value [B, H, Tk, d_k],",
        *(["    # mask bool [B, 1, Tq, Tk], True may attend, or None"] if mask else []),
        "    # to be returned: [B, H, Tq, d_k], or that and the weights",
        f"    return {function}(query, key, value{mask})  # <- change this",
    ]  # fmt: skip


def _module(adapter: ModuleAdapter, request: Request, target: Any) -> list[str]:
    lines, maker = importing(request.spec, target)
    built = isinstance(target, nn.Module)
    signature = adapter.signature
    roles = {signature.query: "query", signature.key: "key", signature.value: "value", signature.mask: "mask"}
    call = ", ".join(f"{argument}={role}" for argument, role in roles.items() if argument is not None)
    given = [*_GIVEN[signature.inputs], _MASK if adapter.takes_mask else "# mask is None"]
    if request.submodule:
        call_of_it = "" if isinstance(load(request.spec, request.folder), nn.Module) else "()"
        maker = f"{maker}{call_of_it}.get_submodule({request.submodule!r})"
    body = f"copy.deepcopy({maker})" if built else f"{maker}({_arguments(adapter)})"
    title = type(target).__name__ if built else re.sub(r"\W", "", maker.rpartition(".")[2])
    return [
        *(["import copy"] if built else []),
        "import mhsa", *lines, "", "",
        f"class {title[:1].upper()}{title[1:]}Adapter(mhsa.Adapter):",
        *([f'    inputs = "{adapter.inputs}"'] if adapter.inputs != "qkv" else []),
        *([] if adapter.takes_mask else ["    takes_mask = False  # <- remove this if it takes a mask"]),
        *([f"    sizes = {adapter.sizes}"] if adapter.sizes else []),
        "", "    def build(self, head, d_model):",
        f"        return {body}",
        "", "    def call(self, module, query, key, value, mask):",
        *(f"        {line}" for line in given),
        "        # to be returned: [B, Tq, d_model], or that and the weights",
        f"        return module({call})  # <- change this",
    ]  # fmt: skip


def _arguments(adapter: ModuleAdapter) -> str:
    """Return the constructor's arguments as they are written in Python, by calling for two sizes and seeing what varies."""
    first, second = adapter.construction(3, 21), adapter.construction(5, 55)
    if first is None or second is None:
        return ""
    words = {(3, 5): "head", (21, 55): "d_model", (7, 11): "d_model // head"}

    def written(x: Any, other: Any) -> str:
        if isinstance(x, Config) and isinstance(other, Config):
            return x.written({name: written(value, other.known()[name]) for name, value in x.known().items()})
        if repr(x) == repr(other) or not isinstance(x, int):
            return repr(x)
        return words.get((x, other), repr(x))

    return ", ".join(f"{n}={written(x, second[n])}" for n, x in first.items())


def importing(spec: str, target: Any) -> tuple[list[str], str]:
    """Return the lines that import an object, and how it is named then."""
    head, colon, attr = spec.rpartition(":")
    path = Path(head if colon and head.endswith(".py") else spec)
    if path.suffix != ".py":
        return [f"from {head} import {attr.partition('.')[0]}"], attr
    attr = attr if colon and head.endswith(".py") else str(getattr(target, "__name__", type(target).__name__))
    if path.stem.isidentifier():
        return [f"from {path.stem} import {attr.partition('.')[0]}"], attr
    return ["import importlib", f'file = importlib.import_module("{path.stem}")'], f"file.{attr}"
