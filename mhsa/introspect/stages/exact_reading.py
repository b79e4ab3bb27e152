"""The third stage: the call is read, as attention to the last digit wherever it is that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mhsa.introspect.calls.find_weights_form import find_weights_form
from mhsa.introspect.readings.formula.biases import find_bias_form
from mhsa.introspect.readings.formula.lse import find_lse
from mhsa.introspect.readings.guessed_arguments import require_fit_of_guesses
from mhsa.introspect.readings.masks.never_empty import with_words_on_empty_rows
from mhsa.introspect.readings.masks.stated_empty_rows import as_found, with_stated_rows
from mhsa.introspect.readings.query_key_value import Bind, try_without_keys
from mhsa.introspect.readings.read_call import read_call
from mhsa.introspect.readings.upcast import ask_about_upcast
from mhsa.introspect.stages.built_and_called import BuiltAndCalled
from mhsa.introspect.stages.powers_of_two import takes_powers_of_two_alone
from mhsa.records.request import Request
from mhsa.subject.docstrings.mask_shapes import has_two_axes_of_two_kinds
from mhsa.subject.subject import Subject


def read_exactly(
    subject: Subject, built: BuiltAndCalled, request: Request, called_by: Bind, unsure: str,
    turned: Callable[[str], bool], harmless: Callable[[str], bool],
) -> Subject:  # fmt: skip
    """Return the subject, on the CPU, as it is called: layout, masks, fully masked rows, weights, bias and log-sum-exp.

    Args:
        subject: read by names.
        built: its module, and how it is called.
        request: what was asked for.
        called_by: makes the subject anew where arguments have other roles.
        unsure: what was taken for granted of its parameters, in words.
        turned: whether it fits with a guessed switch in its other position.
        harmless: whether a guessed argument changes nothing, whatever its value.

    Raises:
        Question: it is exactly attention only in another reading than the usual one, or was built with guesses and is not.
    """
    subject = with_words_on_empty_rows(with_stated_rows(replace(subject, device="cpu")))
    read = read_call(subject, built.module, request, called_by)
    read = read.under(replace(read.contract, fully_masked_row=as_found(read)))
    if read.contract.mask_shape in ("[B, Tk]", "[Tq, Tk]"):
        read = replace(read, told_by_sizes=has_two_axes_of_two_kinds(read.adapter))
    read = replace(read, power_of_two_heads=takes_powers_of_two_alone(read))
    ask_about_upcast(read)
    require_fit_of_guesses(read, unsure, turned, harmless)
    read = try_without_keys(read)
    read = find_bias_form(replace(read, caller=find_weights_form(read)))
    return find_lse(read, built.module, built.sizes)
