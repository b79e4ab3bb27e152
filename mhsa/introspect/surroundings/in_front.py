"""Parts that the inputs go through before the attention: norms, and linear maps that bring them to its width."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor, nn

from mhsa.introspect.layers.same import same
from mhsa.introspect.projections.role_names import QKV, named_roles
from mhsa.introspect.projections.search.layers import is_linear, is_norm
from mhsa.introspect.surroundings.watched_call import PartCall

_OF_INPUT = re.compile(r"(?<![a-z])in(?![a-z])|input|emb|stem|patch|lift|encod|token|feature", re.IGNORECASE)


def in_front(calls: Sequence[PartCall], inputs: Sequence[Tensor], *, until: int | None = None) -> list[PartCall]:
    """Return the calls of parts in front of the attention, each of which is given an input, or what one before it gave.

    Args:
        calls: of one call of the module.
        inputs: of the module.
        until: the place of the attention among the calls, where it is known.
    """
    sources, found = list(inputs), []
    for n, call in enumerate(calls[:until]):
        if len(call.given) != 1 or call.output is None or not any(same(call.given[0], x) for x in sources):
            continue
        if call.path and (is_norm(call.part) or _is_input_map(call, calls[n + 1 : None if until is None else until + 1])):
            found.append(call)
            sources.append(call.output)
    return found


def shows(before: Sequence[PartCall]) -> bool:
    """Whether what is in front certainly belongs there: a norm does, and a map whose name says that it is one of the input."""
    return any(is_norm(call.part) or _OF_INPUT.search(call.path) for call in before)


def kinds_of(before: Sequence[PartCall]) -> tuple[str, ...]:
    """Return what is in front, in words, each once."""
    named = (type(c.part).__name__ if is_norm(c.part) else f"the map {c.path}" for c in before)
    return tuple(dict.fromkeys(named))


def _is_input_map(call: PartCall, later: Sequence[PartCall]) -> bool:
    """Whether a part is a linear map, none of the attention's by its name, that maps of queries, keys or values come after."""
    if not is_linear(call.part) or call.output is None or call.output.shape != call.given[0].shape:
        return False
    if named_roles(f"{call.path}.weight") not in ((), QKV):  # in_proj may be packed, which this one is not: it is square
        return False
    made = [call.output]
    for other in later:
        if isinstance(other.part, nn.MultiheadAttention) and all(any(same(y, x) for x in made) for y in other.given[:3]):
            return True
        if len(other.given) != 1 or not any(same(other.given[0], x) for x in made):
            continue
        if is_linear(other.part) and set(named_roles(f"{other.path}.weight")) & set(QKV):
            return True
        if is_norm(other.part) and other.output is not None:
            made.append(other.output)
    return False
