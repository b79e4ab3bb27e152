"""Arguments of a call that are positions by their names, whose they are, and where these may be added."""

from __future__ import annotations

import inspect
import re
from typing import Literal

from mhsa.introspect.readings.mistakes.wrong_positions import Effect
from mhsa.records.names import BIAS, is_called
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.several_calls import is_square
from mhsa.subject.signature import call_of

_POSITIONS = re.compile(r"(^|_)[qk]?(pos|positions?|positional|pe|pos_?(emb|enc)\w*)(_|\d|$)", re.IGNORECASE)
_OTHERS = re.compile(r"(^|_)(ids?|idx|index|indices|mask|bias|rel|relative|rotary|rope|start|offset|len)(_|$)", re.IGNORECASE)
_OF_QUERIES = re.compile(r"(^|_)(query|queries|q(pos|pe)?|tgt)(_|$)", re.IGNORECASE)
_OF_KEYS = re.compile(r"(^|_)(keys?|k(pos|pe)?|kv|memory|mem|context)(_|$)", re.IGNORECASE)

Role = Literal["queries", "keys", ""]


def positions_of(adapter: ModuleAdapter) -> tuple[str, ...]:
    """Return the arguments that may be positions by their names, and may be left out."""
    parameters = inspect.signature(call_of(adapter.owner)).parameters
    free = (name for name in adapter.not_given if name in parameters and parameters[name].default is None)
    return tuple(n for n in free if _POSITIONS.search(n) and not _OTHERS.search(n) and not is_called(n, BIAS))


def role_of_positions(adapter: ModuleAdapter, name: str) -> Role:
    """Return whose positions they are by their name, which may have the name of the query or of the key."""
    of = name.lower().removesuffix("_pos").removesuffix("_pe").removeprefix("pos_")
    if adapter.signature.key is not None and of in (adapter.signature.query.lower(), adapter.signature.key.lower()):
        return "queries" if of == adapter.signature.query.lower() else "keys"
    return "queries" if _OF_QUERIES.search(name) else "keys" if _OF_KEYS.search(name) else ""


def usual_effects(adapter: ModuleAdapter, name: str, names: tuple[str, ...]) -> tuple[Effect, ...]:
    """Return where positions may be added: to what their name says, or to what none of the other ``names`` is for.

    Those of queries may be those of keys, too, where as many of these have none of their own.
    """
    role, others = role_of_positions(adapter, name), {role_of_positions(adapter, n) for n in names if n != name}
    queries, keys, both = (1, 0, 0), (0, 1, 0), (1, 1, 0)
    if adapter.inputs == "x":
        if role == "queries":
            return (queries,) if "keys" in others else (both, queries)
        if role == "keys":
            return (keys,) if "queries" in others else (both, keys)
        return (both, keys) if "queries" in others else (both, queries) if "keys" in others else (both,)
    if role == "queries":
        return (queries, both) if is_square(adapter) and not others else (queries,)
    if role == "keys" or "queries" in others:
        return (keys,)
    return (queries,) if "keys" in others else (queries, keys, both)
