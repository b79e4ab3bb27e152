"""Switches and sizes that a call must be given: the first values that are exactly attention; others are not judged."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace

from mhsa.introspect.readings.fit import fits
from mhsa.introspect.readings.options.windows import ask_about_windows
from mhsa.records.errors import Question, SubjectError
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.forms.needless_arguments import OFF, ON
from mhsa.subject.forms.token_sizes import Sizes, entries, is_named_size, of_sizes, places
from mhsa.subject.signature import Signature, call_of
from mhsa.subject.subject import Subject


def read_call_options(adapter: Adapter, read: Callable[[Adapter], Subject]) -> Subject:
    """Return what ``read`` gives with switches off and one row of tokens, or with other values, if only those are exact.

    Optional sizes are given where what ``read`` gives without them is not.

    Raises:
        SubjectError: what ``read`` raises at first, where it can be judged with no values.
        Question: likewise; or it attends within windows.
    """
    signature = adapter.signature if isinstance(adapter, ModuleAdapter) else None
    if signature is None or not (signature.sizes or OFF in signature.more.values() or _optional_sizes(adapter, signature)):
        return read(adapter)
    assert isinstance(adapter, ModuleAdapter)
    first: Subject | SubjectError | None = None
    for values in (signature, *_alternatives(adapter, signature)):
        found: Subject | SubjectError
        try:
            found = read(adapter if values is signature else adapter.with_signature(values))
        except SubjectError as error:
            if isinstance(error, Question) and error.declaration:  # under which it is exactly attention
                raise
            found = error
        if isinstance(found, Subject) and fits(found):
            _require_usual_place(signature, values)
            return found
        judged = isinstance(first, SubjectError) and not isinstance(first, Question) and isinstance(found, Subject)
        first = found if first is None or judged else first
    ask_about_windows(adapter)
    if isinstance(first, SubjectError):
        raise first
    assert first is not None
    return first


def _require_usual_place(first: Signature, taken: Signature) -> None:
    """Ask where tokens are exactly attended to in one column of a picture, and not in one row.

    Raises:
        Question: it may attend within columns alone, or be wrong.
    """
    sizes = [name for name, _ in first.sizes if first.more[name].words != taken.more[name].words]
    if sizes and not first.asks:
        usual, other = (", ".join(f"{n}={x.more[n].words}" for n in sizes) for x in (first, taken))
        raise Question(
            f"with {other} it is exactly attention, and with {usual} it is not: it attends within the columns of a picture, "
            "for which there is no declaration, or is wrong. Describe the call in an mhsa.Adapter (docs/adapters.md)"
        )


def _alternatives(adapter: ModuleAdapter, signature: Signature) -> Iterator[Signature]:
    """Yield the call with one switch on, or with the tokens in another place of its sizes."""
    for name in (n for n, given in signature.more.items() if given is OFF):
        yield replace(signature, more={**signature.more, name: ON})
    sizes = signature.sizes
    if not sizes and (sizes := _optional_sizes(adapter, signature)):
        yield _of(signature, sizes, -1)
    for place in places(sizes):
        yield _of(signature, sizes, place)
    if len(sizes) == 1 and not sizes[0][1]:  # the number of frames, or the like, may be 1 as well as that of the tokens
        yield _of(signature, (*sizes, ("", 0)), -1)


def _of(signature: Signature, sizes: Sizes, place: int) -> Signature:
    given = {name: value for name, value in of_sizes(sizes, place).items() if name}
    return replace(signature, more={**signature.more, **given})


def _optional_sizes(adapter: Adapter, signature: Signature) -> Sizes:
    """Return the arguments that may be left out, and are sizes by their names and in the source."""
    assert isinstance(adapter, ModuleAdapter)
    forward = call_of(adapter.owner)
    parameters = inspect.signature(forward).parameters
    free = [n for n in signature.not_given if n not in signature.more and is_named_size(n)]
    free = [n for n in free if parameters[n].default is None or type(parameters[n].default) is int]
    return tuple((n, count) for n in free if (count := entries(forward, n)) is not None)
