"""Switches of a call that must be given: off, or on where only that is exactly attention. The other position is not judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from mhsa.introspect.readings.fit import fits
from mhsa.records.errors import Question, SubjectError
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.forms.needless_arguments import OFF, ON, Given
from mhsa.subject.subject import Subject


def read_call_switches(adapter: Adapter, read: Callable[[Adapter], Subject]) -> Subject:
    """Return what ``read`` gives with such switches off, or with one of them on, if only that is exactly attention.

    Raises:
        SubjectError: what ``read`` raises with the switches off, where it can be judged in no position.
    """
    more: Mapping[str, Given] = adapter.signature.more if isinstance(adapter, ModuleAdapter) else {}
    switches = [name for name, given in more.items() if given is OFF]
    if not switches:
        return read(adapter)
    assert isinstance(adapter, ModuleAdapter)
    off: Subject | SubjectError
    try:
        off = read(adapter)
        if fits(off):
            return off
    except SubjectError as error:
        if isinstance(error, Question) and error.declaration:  # under which it is exactly attention
            raise
        off = error
    for name in switches:
        signature = replace(adapter.signature, more={**more, name: ON})
        try:
            on = read(adapter.with_signature(signature))
        except SubjectError as error:
            if isinstance(error, Question) and error.declaration:
                raise
            continue
        if fits(on):
            return on
        off = on if isinstance(off, SubjectError) and not isinstance(off, Question) else off
    if isinstance(off, SubjectError):
        raise off
    return off
