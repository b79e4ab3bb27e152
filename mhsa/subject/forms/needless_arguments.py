"""Required arguments of forward that mean nothing to plain attention: the size of a picture, what may be None, a cache."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mhsa.records.names import (
    BATCH_SIZE,
    HEIGHT,
    KEPT,
    KEY,
    PICTURE_SIZE,
    PICTURE_WIDTH,
    QUERY,
    SEQUENCE_LENGTH,
    TRAINING,
    VALUE,
    is_called,
    pick,
)


@dataclass(frozen=True)
class Given:
    """What an argument is given.

    Attributes:
        value: it, for a query [B, T, d_model]. The tokens are a picture of one row, so that any number of them makes one.
        words: it, as it is printed.
    """

    value: Callable[[Tensor], Any]
    words: str


NONE = Given(lambda query: None, "None")
# Of what is a switch, by its annotation or its use in the source alone; the position that is exactly attention is taken.
OFF, ON = Given(lambda query: False, "False"), Given(lambda query: True, "True")
_LENGTH = Given(lambda query: query.size(1), "T")
# Of a picture: how its rows and columns are given in the end, ``token_sizes.py`` says.
HEIGHT_OF_PICTURE = Given(lambda query: 1, "1")
WIDTH_OF_PICTURE = Given(lambda query: query.size(1), "T")
_BATCH = Given(lambda query: query.size(0), "B")
PICTURE = Given(lambda query: (1, query.size(1)), "(1, T)")


def needless_arguments(required: Mapping[str, inspect.Parameter]) -> dict[str, Given]:
    """Return what is known by name or annotation to mean nothing, with what it is given; a height only next to a width."""
    found: dict[str, Given] = {}
    height, width = pick(required, HEIGHT), pick(required, PICTURE_WIDTH)
    if height and width and len(required) > 2:
        found |= {height: HEIGHT_OF_PICTURE, width: WIDTH_OF_PICTURE}
    for name, parameter in list(required.items())[1:]:
        if is_called(name, QUERY | KEY | VALUE):
            continue
        if is_called(name, PICTURE_SIZE):
            found[name] = PICTURE
        elif is_called(name, KEPT) or may_be_none(parameter.annotation):
            found[name] = NONE
        elif is_called(name, BATCH_SIZE):
            found[name] = _BATCH
        elif is_called(name, SEQUENCE_LENGTH):
            found[name] = _LENGTH
        elif parameter.annotation in (bool, "bool") or is_called(name, TRAINING):
            found[name] = OFF
    return found


def may_be_none(annotation: Any) -> bool:
    """Whether an annotation says that an argument may be None."""
    if isinstance(annotation, str):
        return annotation.startswith(("Optional[", "typing.Optional[")) or annotation.endswith("| None")
    return typing.get_origin(annotation) in (typing.Union, types.UnionType) and type(None) in typing.get_args(annotation)
