"""A module that was built with guesses for what its constructor needs: it counts only if it is exactly attention with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.readings.mistakes.known_mistake import known_mistake
from mhsa.introspect.readings.mistakes.wrong_attention import NONE
from mhsa.records.errors import Question
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.construction.guess import EPSILON, SIZES, WIDTHS
from mhsa.subject.construction.how_to_state import how_to_state
from mhsa.subject.subject import Subject


def require_fit_of_guesses(
    subject: Subject, unsure: str, turned: Callable[[str], bool], harmless: Callable[[str], bool]
) -> None:
    """Raise unless a subject that was built or read with guesses fits the oracle as it was read, without a mask and with one.

    Args:
        subject: as it was read.
        unsure: what was taken for granted of its parameters, in words.
        turned: whether it is exactly attention with a switch of its constructor, of this name, in its other position; where it
            is in neither, nothing else can be meant, and it is judged.
        harmless: whether an argument of its constructor, of this name, changes nothing, whatever its value.

    Raises:
        Question: it does not fit, not even with a plain mistake in it; something else may be meant, so that it cannot be
            called wrong.
    """
    adapter = subject.adapter
    constructor = adapter.constructor if isinstance(adapter, ModuleAdapter) else None
    sure = constructor.established if constructor is not None else set()
    if constructor is not None and subject.contract.qk_norm is None:  # else the epsilon of a norm makes nothing exact
        sure = sure | {n for n, words in constructor.guessed.items() if words == repr(EPSILON)}
    guessed = {n: words for n, words in constructor.guessed.items() if n not in sure} if constructor is not None else {}
    asks = adapter.signature.asks if isinstance(adapter, ModuleAdapter) else ""
    if not guessed and not unsure and not asks:
        return
    fit, on_cpu = Fit(), replace(subject, device="cpu")
    without = fit.without_mask(on_cpu)
    if without and (not adapter.takes_mask or fit.with_mask(on_cpu)):
        return
    # A width with which it is exact without a mask is that width, whatever masks do.
    guessed = {n: words for n, words in guessed.items() if not (without and words in WIDTHS) and not harmless(n)}
    mistake = NONE if without or asks else known_mistake(on_cpu)  # an argument of an unknown name may mean any
    open_to_more = bool(unsure) or any(words not in SIZES for words in guessed.values())
    switches = [n for n in guessed if constructor is not None and n in constructor.switches]
    if mistake.words and not (mistake.meant and open_to_more) and not any(map(turned, switches)):
        return  # all sizes and roles are as it was read, and the mistake is its own
    if asks:
        raise Question(asks)
    where = " under masks" if without else ""
    guessed = {n: words for n, words in guessed.items() if n not in switches}
    if not guessed and not unsure and not any(map(turned, switches)):
        return
    guessed |= {n: constructor.guessed[n] for n in switches if constructor is not None}
    if unsure:
        words = f"if {unsure}, which no name says, it is not exactly attention{where}"
        raise Question(f"{words}. Say it in an mhsa.Adapter with a projections() method")
    values = " and ".join(f"{name}={words}" for name, words in guessed.items())
    raise Question(
        f"with {values}, which mhsa chose because no name tells what to give, it is not exactly attention{where}. "
        f"{how_to_state(next(iter(guessed)))}"
    )
