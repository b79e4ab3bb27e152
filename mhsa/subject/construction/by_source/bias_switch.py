"""A switch of a constructor that takes the biases of all maps: the only one that is about biases, and called so plainly."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any

_PLAIN = {"bias", "use_bias", "with_bias", "has_bias"}  # qkv_bias and the like name the maps that they are about
_OF_INPUTS = re.compile(r"quer|qkv|\bq\b|in(put)?[-_ ]proj", re.IGNORECASE)
_OF_OUTPUTS = re.compile(r"out|all|every|linear layers", re.IGNORECASE)


@dataclass(frozen=True)
class BiasSwitch:
    """A switch of biases.

    Attributes:
        name: of the parameter.
        default: its position where it is not given.
        of_inputs: whether a docstring says that it is about queries, keys and values alone.
    """

    name: str
    default: bool
    of_inputs: bool


def bias_switch(target: Any) -> BiasSwitch | None:
    """Return the switch of the biases of a class or factory; None where there is none, or more than one."""
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return None
    about = [p for n, p in parameters.items() if "bias" in n.lower()]
    if len(about) != 1 or about[0].name not in _PLAIN or type(about[0].default) is not bool:
        return None
    name = about[0].name
    texts = (inspect.getdoc(target), inspect.getdoc(getattr(target, "__init__", None)))
    lines = [line for text in texts for line in (text or "").splitlines() if re.search(rf"(?<!\w){name}(?!\w)", line)]
    of_inputs = any(_OF_INPUTS.search(line) and not _OF_OUTPUTS.search(line) for line in lines)
    return BiasSwitch(name, about[0].default, of_inputs)
