"""Which attributes of a configuration the source only looks for, as ``hasattr`` and ``getattr`` with a default do.

A configuration that answers every name that mhsa knows would have what the author takes for an exception: such a name is
left out, so that the author's own default holds; the number of heads, the width and a dropout are answered all the same.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import re
import sys
from dataclasses import dataclass
from typing import Any

from torch import nn

from mhsa.source.written_code import classes_of, named_in, nodes_of, parsed_owners
from mhsa.subject.construction.argument_roles import role_of
from mhsa.subject.construction.argument_use import as_written, use_of
from mhsa.subject.construction.by_source.heads_by_use import called, name_of
from mhsa.subject.construction.guess import LAST, Guess
from mhsa.subject.construction.guesses import guesses

NO_DEFAULT = object()
_CONFIGURATION = re.compile("config|args|params|options|settings", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """What the source says of the names that it reads from a configuration.

    Attributes:
        target: the class or function that reads it.
        absent: names that are only looked for.
        optional: names that are looked for somewhere, so that no value is made up for them.
        read: all names that the source reads; None where it hands the configuration on, or is not there.
        argument: the name of the configuration.
    """

    target: Any
    absent: frozenset[str]
    optional: frozenset[str]
    read: frozenset[str] | None = None
    argument: str = ""

    def leaves(self, name: str) -> bool:
        """Whether the attribute is not read: a configuration of a whole model has what other parts of it need."""
        return self.read is not None and name not in self.read

    def is_read_further(self, name: str) -> bool:
        """Whether the attribute is a configuration itself: config.transformer["num_heads"]."""
        return _is_read_further(self.target, name)

    def default(self, name: str) -> Any:
        """Return what a configuration of the same file has by default for a name; ``NO_DEFAULT`` where none has it."""
        for config in _configurations(self.target):
            if not name.startswith("_") and hasattr(config, name):
                return getattr(config, name)
        return NO_DEFAULT

    def guess(self, name: str) -> Guess | None:
        """Return a value for a name that is read and that nothing is known of; None where the source shows no use of it."""
        return _guess(self.target, name, self.argument)


# Of a class and a name they are asked in each build, of which a verdict has hundreds.
@functools.cache
def _is_read_further(target: Any, name: str) -> bool:
    return any(use_of(owner, name).read for owner in named_in(target))


@functools.cache
def _guess(target: Any, name: str, argument: str) -> Guess | None:
    roles = {role_of(n) for n in names_read(target, argument)} if argument else {"head", "d_model"}
    found = guesses(target, name, None, sized="d_model" in roles, headed="head" in roles)
    suggested = use_of(target, name).is_known or len(found) > len(LAST)
    return next((guess for guess in found if guess.made is None), None) if suggested else None


def _configurations(target: Any) -> tuple[Any, ...]:
    """Return an object of each class of the target's file that is called a configuration and needs no arguments."""
    built: list[Any] = []
    file = sys.modules.get(getattr(target, "__module__", ""))
    for name, kind in classes_of(file).items() if file is not None else ():
        if _CONFIGURATION.search(name) and not issubclass(kind, nn.Module):
            built += _built(kind)
    return tuple(built)


@functools.cache  # of the class itself: a cell of a notebook may define another one of that name
def _built(kind: type[Any]) -> tuple[Any, ...]:
    """Return an object of a class; none where it needs arguments."""
    with contextlib.suppress(Exception):
        return (kind(),)
    return ()


def configuration_source(target: Any, argument: str) -> Source:
    """Return what the class (with its bases) or function asks ``argument`` for."""
    argument = as_written(target, argument)
    read: set[str] = set()
    with_default: set[str] = set()
    without_default: set[str] = set()
    nodes = [node for owner in parsed_owners(target) for node in nodes_of(owner)]
    for node in nodes:
        if isinstance(node, ast.Attribute) and _is(node.value, argument):
            read.add(node.attr)
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and _is(node.value, argument):
            read.add(str(node.slice.value))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) > 1:
            name = node.args[1]
            if isinstance(name, ast.Constant) and node.func.id in ("hasattr", "getattr"):
                (without_default if len(node.args) == 2 else with_default).add(str(name.value))
    answered = {name for name in with_default if role_of(name) in ("head", "d_model", "dropout")}
    looked_for = without_default | with_default
    whole = None if not nodes or _is_handed_on(nodes, argument) else frozenset(read | looked_for)
    return Source(target, frozenset(looked_for - read - answered), frozenset(looked_for), whole, argument)


@functools.cache
def names_read(target: Any, argument: str) -> frozenset[str]:
    """Return the names that a class, and what of its file it names, reads from what they call so, at whatever depth."""
    found: set[str] = set()
    for owner in named_in(target):
        for node in nodes_of(owner):
            name = name_of(node)
            if isinstance(node, ast.Attribute | ast.Subscript) and name and _is_within(node.value, argument):
                found.add(name)
            elif isinstance(node, ast.Call) and called(node) in ("getattr", "hasattr", "get"):
                found |= {str(x.value) for x in node.args if isinstance(x, ast.Constant) and isinstance(x.value, str)}
    return frozenset(found)


def _is_within(node: ast.expr, argument: str) -> bool:
    """Whether an expression is the configuration, or read from it."""
    if _is(node, argument):
        return True
    return isinstance(node, ast.Attribute | ast.Subscript) and _is_within(node.value, argument)


def _is_handed_on(nodes: list[ast.AST], argument: str) -> bool:
    """Whether the configuration goes anywhere else than into an attribute of the module: somebody else may read it."""
    named = sum(isinstance(node, ast.expr) and _is(node, argument) for node in nodes)
    asked = sum(isinstance(node, ast.Attribute | ast.Subscript) and _is(node.value, argument) for node in nodes)
    kept = sum(
        isinstance(node, ast.Assign) and all(_is(x, argument) for x in (*node.targets, node.value)) and 1 + len(node.targets)
        for node in nodes
    )
    return named != asked + kept


def _is(node: ast.expr, argument: str) -> bool:
    """Whether an expression is the configuration: by its name, or as an attribute of the module that is called so."""
    return (isinstance(node, ast.Name) and node.id == argument) or (isinstance(node, ast.Attribute) and node.attr == argument)
