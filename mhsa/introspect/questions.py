"""A subject that raises a question is understood once more, under what the question says to declare."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from mhsa.introspect.readings.fit import Fit, fits
from mhsa.introspect.resolve import understand
from mhsa.records.declarations import canonical, in_words
from mhsa.records.errors import Question, SubjectError
from mhsa.records.lines_to_paste import question_with_answers
from mhsa.records.request import Request
from mhsa.records.understood import notes_of
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.construction.argument_roles import role_of
from mhsa.subject.guard import attempt
from mhsa.subject.subject import Subject
from mhsa.subject.torch_settings import on_one_thread, restored

_ROUNDS = 6  # build, call, layout, output, masks, training: the stages of understanding, each of which may ask once


@dataclass(frozen=True)
class LoadedSubject:
    """What came of loading a subject.

    Attributes:
        subject: understood as it was declared, or under what the question says to declare; or why it is not understood.
        question: with all that has to be declared; None where nothing has.
    """

    subject: Subject | SubjectError
    question: Question | None = None


def load_under(request: Request, target: Any = None) -> LoadedSubject:
    """Load a subject; where that raises a question with a declaration, load it again under the declaration.

    Under it another question may be raised: declarations add up, and the sum is what is suggested.
    """
    declared: dict[str, Any] = {}
    questions: list[str] = []
    means: tuple[str, ...] = ()
    for _ in range(_ROUNDS):
        found = load_subject(request.under(declared), target)
        new = found.declaration if isinstance(found, Question) else {}
        if not new or new.items() <= declared.items():
            break
        declared |= new
        questions.append(str(found))
        means = means or (found.means if isinstance(found, Question) else ())
    if isinstance(found, Subject) and (grouped := _with_fewer_key_heads(found, request.under(declared), target)) is not None:
        right = fits(grouped)
        if not questions and right:  # with as many it is judged by more laws, and the option is named as not judged
            return LoadedSubject(found)
        questions.append(_with_a_number_of_key_heads(found, right=right))
        found, declared = grouped, declared | {"kv_heads": "grouped"}
    if not questions:
        return LoadedSubject(found, found if isinstance(found, Question) else None)
    if isinstance(found, SubjectError):  # under the declaration it is not understood either: it is all that can be said
        words = "\n\n".join([*questions, f"under {in_words(declared)}: {found}"])
        question = Question(words, means=means, unused=found.unused)
        return LoadedSubject(question, question)
    question = Question("\n".join(dict.fromkeys(questions)), declared, means)
    return LoadedSubject(_as_found(found, request, declared), question)


def _with_fewer_key_heads(subject: Subject, request: Request, target: Any) -> Subject | None:
    """Return the subject with fewer heads of keys, where its constructor takes their number and a call with them returns.

    Whoever is asked anything is asked that, too: then one line declares all that a subject promises. Which query heads share a
    head of keys is what such a constructor is for; a subject that is right with equal numbers alone is asked about it.
    """
    adapter = subject.adapter
    constructor = adapter.constructor if isinstance(adapter, ModuleAdapter) else None
    if constructor is None or not constructor.takes_kv_heads or subject.contract.kv_heads is not None:
        return None
    if set(_about_key_heads(subject)) & set(request.not_judged) or not fits(subject):
        return None
    grouped = load_subject(request.under({"kv_heads": "grouped"}), target)
    if not isinstance(grouped, Subject) or not Fit().is_taken_without_mask(replace(grouped, device="cpu")):
        return None
    return grouped


def _with_a_number_of_key_heads(subject: Subject, *, right: bool) -> str:
    """Return what is asked about a subject that is right or wrong with fewer heads of keys than of queries."""
    built = "it is built with a number of key heads, and"
    if right:
        return f"{built} exactly right with fewer of them than of queries, too"
    accepted = f"not_judged = {json.dumps(_about_key_heads(subject))} accepts that"
    return f"{built} not right with fewer of them than of queries; {accepted}"


def _about_key_heads(subject: Subject) -> list[str]:
    """Return what is said of fewer key heads where they are not judged."""
    option = "constructor argument "
    named = (words for words in subject.not_judged if role_of(words.removeprefix(option)) == "kv head")
    return [*named] or [words for words in subject.not_judged if "heads of keys" in words]


def _as_found(subject: Subject, request: Request, suggested: Mapping[str, Any]) -> Subject:
    """Return a subject whose reading says of what a question suggests that it was found: it is not declared yet."""
    new = set(suggested) - set(canonical(request.contract))
    parts = (replace(u, known="fitted") if new & set(u.declaration) else u for u in subject.understood)
    understood = tuple(parts)
    return replace(subject, understood=understood, notes=notes_of(understood))


def without_judging(request: Request, loaded: LoadedSubject) -> Subject | SubjectError:
    """Return a subject that is judged only as it was declared: where that leaves a question, nothing is judged."""
    question = loaded.question
    if question is None:
        return loaded.subject
    return Question(question_with_answers(str(question), question.declaration, request), question.declaration)


def load_subject(request: Request, target: Any = None) -> Subject | SubjectError:
    """Return the subject, or why it cannot be judged; torch's settings stay as they are. ``target`` is it, if it is there."""

    def load() -> Subject | SubjectError:
        try:
            require_device(request.device)
            return understand(request, target=target)
        except SubjectError as error:
            return error

    with restored(), on_one_thread(), quiet():
        found, said = attempt(load)
    return SubjectError(f"loading it raised {said}") if found is None else found[0]


@contextmanager
def quiet() -> Iterator[None]:
    """Let warnings pass: "warnings are errors" is for the user's own tests, and a warning is not a verdict."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def require_device(device: str) -> None:
    """Raise SubjectError unless torch can put a tensor there."""
    import torch

    try:
        torch.zeros(1, device=device)
    except Exception as error:
        raise SubjectError(f"device {device!r} cannot be used here: {str(error).splitlines()[0]}") from None
