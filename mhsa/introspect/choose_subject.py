"""Which object of a file is meant, where only the file is named: the attention that contains the others, no helper of it."""

from __future__ import annotations

import ast
import contextlib
import inspect
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from torch import nn

from mhsa.records.errors import Question, SubjectError
from mhsa.records.names import HEAD, KEY, QUERY, VALUE, WIDTH, pick
from mhsa.records.understood import Understood
from mhsa.source.written_code import classes_of, tree_of
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.construction.parameters import takes_sizes
from mhsa.subject.forms.functions.of_one_tensor import is_called_so
from mhsa.subject.forms.given_weights import weights_among, with_weights
from mhsa.subject.forms.numpy_class import of_numpy
from mhsa.subject.signature import call_of

_CALLED = re.compile("attention|attn|mha|mhsa|multi_?head", re.IGNORECASE)
# What is built around an attention; where the attention itself is in the file, it is that one that is judged.
_AROUND = re.compile("(block|layer|encoder|decoder|transformer|model|net|embedding|norm|mask|config|output)s?$", re.IGNORECASE)
_COMPUTES = re.compile("softmax|scaled_dot_product|multi_?head_?attention", re.IGNORECASE)
_MAPS = re.compile("linear|conv|^Parameter$|^Dense$|einsum_?layer|MultiheadAttention$", re.IGNORECASE)


@dataclass(frozen=True)
class Choice:
    """The object that is judged, and in words what else the file has; no words where nothing else was possible.

    ``attention`` is the path of the one that is judged of a layer with several, where it is named with the layer's class;
    ``around`` are the classes of the file that are built of the object, and ``callers`` the functions of the file that call it,
    where it is one; they are not judged.
    """

    target: Any
    understood: tuple[Understood, ...] = ()
    attention: str = ""
    around: tuple[str, ...] = ()
    callers: tuple[str, ...] = ()

    @property
    def of_modules(self) -> Choice:
        """The same, where a function that is given its weights is a class of modules that have them."""
        if (computes := of_numpy(self.target)) is not None:
            return replace(self, target=computes)
        made = with_weights(self.target)
        if made is None:
            return self
        text = f"a function that is given its weights: {', '.join(made.weights)} are parameters of a module that calls it"
        if not made.weights:
            text = f"a function on tokens that is given its number of heads, {made.head}, and has no maps"
            text = text if made.head else "a function of one tensor, whose tokens attend to each other, and has no maps"
        text += ", once for each sample" if made.one_sample else ""
        text += f"; its file says its sizes, {made.of_file.words}" if made.of_file else ""
        return replace(self, target=made, understood=(*self.understood, Understood("subject", text, "named")))

    def of_part(self, part: type[nn.Module]) -> Choice:
        """The one attention that the object is built of, in its place."""
        text = f"{part.__name__}, of which {self.target.__name__} is built, which is not understood"
        around = (self.target.__name__, *(name for name in self.around if name != part.__name__))
        return Choice(part, (*self.understood, Understood("subject", text, "named")), around=around)


def choose(module: ModuleType, spec: str) -> Choice:
    """Return the one attention that a file defines: an adapter, a class, a factory, a function or a built module.

    Raises:
        Question: several may be meant; they are listed as they are typed.
        SubjectError: there is none.
    """
    own = {n: o for n, o in vars(module).items() if getattr(o, "__module__", None) == module.__name__}
    functions = {n: o for n, o in own.items() if inspect.isfunction(o) and not n.startswith(("_", "test"))}
    classes = classes_of(module)
    modules = {n: o for n, o in classes.items() if issubclass(o, nn.Module)}
    modules = modules or {n: made for n, o in classes.items() if (made := of_numpy(o)) is not None}
    called = {n: o for n, o in modules.items() if call_of(o) is not nn.Module.forward} or modules
    from_sizes = {n: o for n, o in called.items() if takes_sizes(o)}
    attentions = _attentions(called)
    of_heads = {n: o for n, o in functions.items() if _takes(o, QUERY, KEY, VALUE)}
    kinds: list[dict[str, Any]] = [
        {n: o for n, o in classes.items() if issubclass(o, Adapter)},
        _meant(attentions) if attentions else {},
        {} if attentions else _outermost(computing(from_sizes)),
        _weighted(functions),
        _outermost(_named(computing(of_heads)) or computing(of_heads)),
        from_sizes,
        {n: o for n, o in functions.items() if takes_sizes(o)},
        of_heads,
        {n: o for n, o in modules.items() if _takes(o.__init__, HEAD, WIDTH)},
        _outermost(computing(called)),
        {n: o for n, o in vars(module).items() if isinstance(o, nn.Module)},
        _outermost({n: o for n, o in functions.items() if is_called_so(o)}),
    ]
    found = next((kind for kind in kinds if kind), {})
    if len(found) == 1:
        name, target = next(iter(found.items()))
        others = [n for n in {**attentions, **_named(functions)} if n != name]
        around = _around(modules, name, target)
        using = (n for n, o in functions.items() if n != name and _uses(o, {name: target}, n))
        callers = tuple(using) if inspect.isfunction(target) else ()
        if not others:
            return Choice(target, around=around, callers=callers)
        listed = ", ".join(f"{spec}:{n}" for n in others)
        return Choice(
            target, (Understood("subject", f"{name}; the file also has {listed}", "named"),), around=around, callers=callers
        )
    if found:
        means = [f"{spec}:{name}" for name in found]
        words = f"{spec} defines several attention-like objects; name one of {', '.join(means)}"
        raise Question(words, means=means)
    rest = f" It defines {', '.join(own)}; name one as {spec}:NAME." if own else ""
    raise SubjectError(f"{spec} defines no attention-like nn.Module (one built from a head count and a width).{rest}")


def layers_of(target: Any, names: Collection[str]) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Return the classes of these names in the target's file, and the names of those that are built of any of them."""
    modules = {n: o for n, o in classes_of(inspect.getmodule(target)).items() if issubclass(o, nn.Module)}
    kinds = {name: modules[name] for name in names if name in modules}
    found = {n for name, kind in kinds.items() for n in _around(modules, name, kind)} - kinds.keys()
    return tuple(kinds.values()), tuple(n for n in modules if n in found)


def _around(modules: dict[str, Any], name: str, target: Any) -> tuple[str, ...]:
    """Return the classes that are built of the object, and those that inherit from one that is."""
    using = {o for n, o in modules.items() if n != name and _uses(o, {name: target}, n)}
    return tuple(n for n, o in modules.items() if n != name and not using.isdisjoint(o.__mro__))


def _weighted(functions: dict[str, Any]) -> dict[str, Any]:
    """Return the functions that are given their weights: those with a number of heads, where there are any.

    One that does not compute attention, but projects, is none where another function of the file does.
    """
    weighted = {n: o for n, o in functions.items() if weights_among(o)}
    weighted = _outermost(computing(weighted) or ({} if computing(functions) else weighted))
    return {n: o for n, o in weighted.items() if _takes(o, HEAD)} or weighted


def _named(found: dict[str, Any]) -> dict[str, Any]:
    return {n: o for n, o in found.items() if _CALLED.search(n)}


def _attentions(modules: dict[str, Any]) -> dict[str, Any]:
    """Return the classes that are called like an attention; those built around one only if there are no others."""
    named = _named(modules)
    projecting = {n: o for n, o in named.items() if _has_maps(o)}  # the others are cores, or call what they are given
    inner = projecting or named
    return {n: o for n, o in inner.items() if not _AROUND.search(n) or not _uses(o, inner, n)} or inner


def _has_maps(owner: Any) -> bool:
    """Whether a class, or what it uses of its file, makes layers or parameters of its own."""
    return _says(owner, _MAPS, set())


def _meant(attentions: dict[str, Any]) -> dict[str, Any]:
    """Return the attention that contains the others; where several do not, those that can be built from sizes by name."""
    outermost = _outermost(attentions)
    if len(outermost) > 1:
        outermost = {n: o for n, o in outermost.items() if takes_sizes(o)} or outermost
    return outermost


def _outermost(found: dict[str, Any]) -> dict[str, Any]:
    """Return those that no other one uses, or inherits from with a forward of its own."""
    used = {n for name, o in found.items() for n in _uses(o, found, name)}
    used |= {
        n for o in found.values() if inspect.isclass(o) and "forward" in vars(o) for n, x in found.items() if x in o.__mro__[1:]
    }
    return {n: o for n, o in found.items() if n not in used} or found


def _uses(owner: Any, names: dict[str, Any], own: str) -> set[str]:
    """Return which of the names stand in the body of a class; its bases do so only if they have no forward of their own."""
    said = {node.id for node in _nodes(owner) if isinstance(node, ast.Name)} & set(names) - {own}
    inherited = {n for n in said if inspect.isclass(owner) and names[n] in owner.__mro__}
    return said - inherited


def computing(found: dict[str, Any]) -> dict[str, Any]:
    """Return the classes in whose source, or in what they use of the file, there is a softmax or torch's own attention."""
    return {n: o for n, o in found.items() if _says(o, _COMPUTES, set())}


def _says(owner: Any, what: re.Pattern[str], seen: set[int]) -> bool:
    """Whether a name like this stands in the body of a class or function, or of what it uses of its file."""
    seen.add(id(owner))
    place = vars(inspect.getmodule(owner)) if inspect.getmodule(owner) else {}
    for node in _nodes(owner):
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        used = place.get(name) if isinstance(node, ast.Name) else None
        local = (inspect.isclass(used) or inspect.isfunction(used)) and used.__module__ == owner.__module__
        own_softmax = inspect.isfunction(used) and "softmax" in name.lower()
        if what.search(name) and (not local or own_softmax):
            return True
        if local and id(used) not in seen and _says(used, what, seen):
            return True
    return False


def _nodes(owner: Any) -> list[ast.AST]:
    with contextlib.suppress(OSError, TypeError, SyntaxError):
        tree = tree_of(owner)
        return [node for node in ast.walk(tree) if isinstance(node, (ast.Name, ast.Attribute))]
    return []


def _takes(function: Any, *kinds: set[str]) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    return all(pick(parameters, names) for names in kinds)
