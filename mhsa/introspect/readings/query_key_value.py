"""Readings of the arguments: which is the query, the key, the value, where their names do not say it."""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from mhsa.introspect.adapter_sketch import question_text
from mhsa.introspect.readings.candidate_reading import Reading
from mhsa.introspect.readings.fit import SEEDS, Fit
from mhsa.records.errors import Question
from mhsa.records.names import CONTEXT, KEY, QUERY, SELF, VALUE, is_called, is_context
from mhsa.records.understood import Understood
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.caller import Caller
from mhsa.subject.forms.needless_arguments import NONE
from mhsa.subject.generic_inputs import generic_tensors
from mhsa.subject.signature import Signature, call_of
from mhsa.subject.subject import Subject

# By adapter and call: the subject with the parameters found anew, for which argument is which decides what they are taken for.
Bind = Callable[[Adapter, Caller], Subject]
# Orders of (query, key, value) among three arguments that are not named after them, the commonest first.
_ORDERS = ((2, 1, 0), (2, 0, 1), *(o for o in itertools.permutations(range(3)) if o[0] != 2 and o != (0, 1, 2)))


def role_readings(subject: Subject, bind: Bind) -> Iterator[Reading]:
    """Yield other roles of the arguments whose names say nothing; a key that may be left out may be no key at all.

    One whose name says that it is another sequence to attend to is judged as that: what is wrong with it would not be seen.
    """
    adapter = subject.adapter
    if not isinstance(adapter, ModuleAdapter) or not adapter.signature.guessed:
        return
    signature = adapter.signature
    given = (signature.query, signature.key, signature.value)
    if signature.value is not None:
        for order in _ORDERS:
            query, key, value = (given[n] for n in order)
            assert query is not None
            yield from _reading(subject, bind, replace(signature, query=query, key=key, value=value))
    elif not signature.key_optional and not any(map(_says_its_role, (signature.query, str(signature.key)))):
        yield from _reading(subject, bind, replace(signature, query=str(signature.key), key=signature.query))
    elif signature.key_optional and not is_context(str(signature.key)):
        left = (*signature.not_given, str(signature.key))
        yield from _reading(
            subject, bind, replace(signature, key=None, mask=signature.own_mask or signature.mask, not_given=left)
        )


def _says_its_role(name: str) -> bool:
    """Whether a name says which of two sequences attends to the other."""
    return is_called(name, QUERY | KEY | VALUE | SELF | CONTEXT) or is_context(name)


def _reading(subject: Subject, bind: Bind, signature: Signature) -> Iterator[Reading]:
    assert isinstance(subject.adapter, ModuleAdapter)
    adapter = subject.adapter.with_signature(signature)
    try:
        read = bind(adapter, replace(subject.caller, adapter=adapter))
    except Exception:  # its parameters make no sense then
        return
    yield Reading(read, "roles", f"is called as forward({signature.describe()})")


def try_without_keys(subject: Subject) -> Subject:
    """Return the subject with what is known of calls that leave out a key and a value which are optional.

    They are tried on a few inputs, on which they must give self-attention; where they do not, that is not judged.
    """
    adapter = subject.adapter
    if type(adapter) is not ModuleAdapter or adapter.inputs == "x":
        return subject
    signature = adapter.signature
    if signature.as_list:
        return subject
    parameters = inspect.signature(call_of(adapter.owner)).parameters
    names = [name for name in (signature.key, signature.value) if name is not None]
    if signature.own_mask is not None or any(parameters[name].default is not None for name in names):
        return subject
    alone = adapter.with_signature(replace(signature, key=None, value=None))
    caller = replace(subject.caller, adapter=alone)
    called, fit = replace(subject, adapter=alone, caller=caller, device="cpu"), Fit()
    which = " and ".join(names)
    if fit.without_mask(called) and (not alone.takes_mask or fit.with_mask(called)):
        text = f"without {which} it gives self-attention, on {len(SEEDS)} inputs that were tried"
        return replace(subject, understood=(*subject.understood, Understood("roles", text, "fitted")))
    left = f"calls without {which}, which do not give the self-attention of {signature.query}"
    return replace(subject, not_judged=(*subject.not_judged, left))


def unused_readings(subject: Subject, module: nn.Module, bind: Bind) -> Iterator[Reading]:
    """Yield the reading in which required arguments that change nothing are None: they may be there for what is switched off.

    One whose name says that it is another sequence to attend to is judged as that; but where it may be left out, and the
    constructor has a switch that mhsa has guessed to be off.
    """
    adapter = subject.adapter
    if _has_guessed_switch(adapter) and _unused(subject, module):
        assert isinstance(adapter, ModuleAdapter)
        left = (*adapter.signature.not_given, str(adapter.signature.key))
        mask = adapter.signature.own_mask or adapter.signature.mask
        yield from _reading(subject, bind, replace(adapter.signature, key=None, mask=mask, not_given=left))
    unused = unused_arguments(subject, module)
    if not unused or not isinstance(adapter, ModuleAdapter) or any(map(_says_its_role, unused)):
        return
    signature = adapter.signature
    key = None if signature.key in unused else signature.key
    value = None if signature.value in unused else signature.value
    more = {**signature.more, **dict.fromkeys(unused, NONE)}
    left = (*signature.not_given, *(name for name in unused if name not in signature.not_given))
    read = replace(signature, key=key or value, value=value if key else None, more=more, not_given=left)
    yield from _reading(subject, bind, read)


def unused_arguments(subject: Subject, module: nn.Module) -> tuple[str, ...]:
    """Return which required arguments of unknown names were taken for key and value, and change nothing."""
    adapter = subject.adapter
    if not isinstance(adapter, ModuleAdapter) or not adapter.signature.guessed or adapter.signature.key_optional:
        return ()
    return _unused(subject, module)


def _has_guessed_switch(adapter: Adapter) -> bool:
    """Whether the keys may be left out of a call, and a switch of the constructor is off that no name says to be so."""
    if not isinstance(adapter, ModuleAdapter) or adapter.constructor is None or adapter.signature.value is not None:
        return False
    return adapter.signature.key_optional and bool(adapter.constructor.switches)


def _unused(subject: Subject, module: nn.Module) -> tuple[str, ...]:
    """Return which of the arguments that are key and value change nothing."""
    adapter = subject.adapter
    assert isinstance(adapter, ModuleAdapter)
    signature = adapter.signature
    tensors = list(generic_tensors(adapter))
    names = [signature.key, signature.value] if signature.value is not None else [signature.key]

    def output(query: Tensor, key: Tensor, value: Tensor) -> Tensor | None:
        try:
            with torch.no_grad():
                found = subject.caller(module, query, key, value, None)[0]
        except Exception:  # the properties will meet it again and report it
            return None
        return found if isinstance(found, Tensor) else None

    before = output(*tensors)
    unused = []
    for n, name in enumerate(names, 1):
        changed = [copy.copy(x) for x in tensors]
        changed[n] = changed[n] + 1.0
        if len(names) == 1:
            changed[2] = changed[1]
        after = output(*changed)
        if before is not None and after is not None and torch.equal(before, after):
            unused.append(str(name))
    return tuple(unused)


def ask_about_unknown(subject: Subject, module: nn.Module) -> None:
    """Ask about what was taken for key and value, is not named so, and changes nothing: it is something else.

    Raises:
        Question: with the names of such arguments, which must be given and which mhsa does not know.
    """
    adapter, unknown = subject.adapter, [n for n in unused_arguments(subject, module) if not _says_its_role(n)]
    if unknown and isinstance(adapter, ModuleAdapter) and adapter.signature.asks:
        raise Question(adapter.signature.asks)
    if unknown:
        raise Question(
            question_text(
                f"forward needs {' and '.join(unknown)}, and mhsa does not know what to give: the output does not depend on it "
                "as on a key or a value. Describe the call in an mhsa.Adapter (docs/adapters.md)"
            )
        )
