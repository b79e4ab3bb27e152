"""Running the subject's code, which may raise anything: as a violation, or as a refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mhsa.records.errors import describe
from mhsa.records.failures import failure_form as form
from mhsa.run import cuda_errors
from mhsa.subject import check

T = TypeVar("T")

_interrupt_is_violation = False


def treat_interrupt_as_violation() -> None:
    """Count a KeyboardInterrupt as raised by the subject: this process has no terminal, and is ended in another way."""
    global _interrupt_is_violation
    _interrupt_is_violation = True


def guard(what: str, step: Callable[[], T]) -> T:
    """Run the subject's code; whatever it raises is a violation, reported with file and line in the subject."""
    result, error, raised = _run(step)
    # Outside of any except block, so that Hypothesis sees one kind of failure and finds the smallest case of all.
    if result is not None:
        return result[0]
    message = f"{what} raised {error}"
    if cuda_errors.context_is_unusable():
        check.end_with_device(f"{message}; {cuda_errors.MESSAGE}", wrong=True)
    return check.fail(message, what="call", observed=error, raised=raised)


def attempt(step: Callable[[], T]) -> tuple[tuple[T] | None, str]:
    """Run the subject's code where it may refuse: return (its result,) and "", or None and the error in words."""
    result, error, _ = _run(step)
    if result is None and cuda_errors.context_is_unusable():  # a refusal that cannot be overlooked
        check.end_with_device(f"was refused: {error}; {cuda_errors.MESSAGE}", wrong=False)
    return result, error


def _run(step: Callable[[], T]) -> tuple[tuple[T] | None, str, str]:
    try:
        result = step()
        cuda_errors.wait()
        return (result,), "", ""
    except KeyboardInterrupt as error:
        if not _interrupt_is_violation:  # the user has pressed Ctrl-C
            raise
        return None, describe(error), form.raised(error)
    except BaseException as error:  # sys.exit() in a forward is as wrong as any error
        return None, describe(error), form.raised(error)
