"""Where an object of NumPy keeps its arrays, so that others can be put in their place."""

from __future__ import annotations

import gc
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

_MOST = 10_000  # objects that are looked at: one that holds more is no attention alone


@dataclass(frozen=True)
class Place:
    """Where an object keeps an array: in the attributes of it or of an object that it holds, in a list, tuple or dictionary."""

    path: str
    kept_in: Any
    key: Any

    @property
    def array(self) -> Any:
        """What is there."""
        return self.kept_in[self.key]

    def put(self, values: Any) -> None:
        """Put another array there."""
        self.kept_in[self.key] = values


@dataclass(frozen=True)
class _Tuple:
    """A tuple, which is replaced as a whole where one of its items is."""

    kept_in: Any
    key: Any

    def __getitem__(self, n: int) -> Any:
        return self.kept_in[self.key][n]

    def __setitem__(self, n: int, value: Any) -> None:
        was = self.kept_in[self.key]
        items = (*was[:n], value, *was[n + 1 :])
        self.kept_in[self.key] = type(was)(*items) if hasattr(was, "_fields") else items


def places_of(owner: Any, file: str) -> list[Place]:
    """Return where floating arrays are kept: by an object, and by lists, tuples, dictionaries and objects of its file in it."""
    return list(_places(owner, vars(owner), file, "", ()))


def without_buffers(places: list[Place]) -> list[Place]:
    """Return the places without those of gradients and sums of them: zeros that are called after another array of that shape.

    So a class with a backward pass of its own keeps ``grads["wq"]``, ``dW_q`` or ``m_wq`` next to ``wq``.
    """
    return [p for p in places if p.array.any() or not any(_is_of(p, other) for other in places)]


def twins_of(places: list[Place]) -> dict[str, tuple[str, ...]]:
    """Return for each array the path that tells most of it, with its other paths: ``self.params = [self.wq, self.wk]``."""
    paths: dict[int, list[str]] = {}
    for place in places:
        paths.setdefault(id(place.array), []).append(place.path)
    ordered = [
        sorted(of_one, key=lambda path: (path.rpartition(".")[2].isdigit(), path.count("."))) for of_one in paths.values()
    ]
    return {first: tuple(others) for first, *others in ordered}


def unreached(owner: Any, places: list[Place]) -> int:
    """Return how many floating arrays an object keeps in other places: in sets, closures, objects of other files."""
    known = {id(place.array) for place in places}
    seen: set[int] = set()
    waiting, found = [owner], 0
    while waiting and len(seen) < _MOST:
        each = waiting.pop()
        if id(each) in seen or inspect.isclass(each) or inspect.ismodule(each):
            continue
        seen.add(id(each))
        if _is_floating(each):
            found += id(each) not in known
        elif inspect.isfunction(each):  # of its file it names all objects
            waiting += [cell.cell_contents for cell in each.__closure__ or () if _is_filled(cell)]
        elif not isinstance(each, np.ndarray):
            waiting += gc.get_referents(each)
    return found


def _places(owner: Any, kept_in: Any, file: str, path: str, seen: tuple[Any, ...]) -> Iterator[Place]:
    """Yield the places within ``kept_in``: the attributes of ``owner``, or its items."""
    for key in list(range(len(owner)) if isinstance(owner, (list, tuple)) else kept_in):
        value = kept_in[key]
        where = f"{path}.{str(key).replace('.', '_')}".lstrip(".")
        if _is_floating(value):
            yield Place(where, kept_in, key)
            continue
        if any(value is other for other in (*seen, owner)):
            continue
        if isinstance(value, tuple):
            yield from _places(value, _Tuple(kept_in, key), file, where, (*seen, owner))
        elif isinstance(value, (list, dict)):
            yield from _places(value, value, file, where, (*seen, owner))
        elif type(value).__module__ == file and hasattr(value, "__dict__"):
            yield from _places(value, vars(value), file, where, (*seen, owner))


def _is_of(buffer: Place, other: Place) -> bool:
    longer, shorter = (re.sub(r"[^a-z0-9.]|_", "", place.path.lower()) for place in (buffer, other))
    owner, _, name = shorter.rpartition(".")
    inside = longer.startswith(owner) and (longer.endswith(name) or longer.removeprefix(owner).strip(".").startswith(name))
    return buffer is not other and inside and longer != shorter and buffer.array.shape == other.array.shape


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _is_floating(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim > 0
