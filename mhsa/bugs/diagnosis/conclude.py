"""The likely cause of a violation: a known bug that is confirmed by numbers, one that fails the same properties, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mhsa.bugs.diagnosis.hints import hints, raises_alike
from mhsa.bugs.mutants.registry import Mutant, declared, mutants
from mhsa.records.diagnosis import Cause, Diagnosis
from mhsa.records.power_record import recorded
from mhsa.records.results import SubjectResult

# What no bug of the attention itself fails.
LAYER = ("layers.residuals_are_in_their_places", "layers.masks_go_to_their_attentions")


def conclude(result: SubjectResult, answer: dict[str, Any], *, complete: bool) -> Diagnosis:
    """Put a comparison's answer and the failed properties into words.

    Args:
        result: of a violated subject.
        answer: from :mod:`mhsa.bugs.diagnosis.worker`: ``error`` in words; or ``matches``, ``cases``, ``wrong``, what is
            ``left``, the only ``size`` (head, d_model) where there is only one, the ``dtype`` of the comparison, the dtypes of
            the request (``asked``), the ``aspects`` that are wrong, and the ``site`` of its dropout, where that is another one.
        complete: whether all properties were judged, so that the pattern of those that failed means something.
    """
    if "error" in answer:
        words = (f"The numbers could not be compared with those of known bugs: {answer['error']}.",)
        return _by_pattern(result, words, complete=complete)
    figures = {"cases": answer["cases"], "wrong": answer["wrong"], "picture": answer.get("picture")}
    by_name = {m.name: m for m in (*mutants(), *declared())}
    said = answer.get("words", {})  # of bugs under a formula that is not their own
    causes = tuple(_in_words(cause, said.get(cause.name, "")) for cause in _causes(by_name, answer["matches"]))
    explaining = tuple(cause for cause in causes if _explains(cause, result, answer["aspects"]))
    if explaining:
        sentences = (*_confirmed(result, answer, explaining), *_other_constants(answer["matches"]), *_site(answer))
        return Diagnosis("confirmed", explaining, sentences, **figures)
    compared = (
        f"On {answer['wrong']} of {answer['cases']} cases it raises or its numbers are wrong, and no known bug gives them."
    )
    if causes:
        names = " or ".join(cause.name for cause in causes)
        compared = (
            f"Its output is right on all {answer['cases']} cases. Apart from it {_what(answer['aspects'])} as with "
            f"{names}, which fails none of these properties, so it is not their cause."
        )
        return _by_pattern(result, (compared, *_site(answer)), complete=complete, **figures)
    if not answer["wrong"]:
        compared = f"Its numbers are right on all {answer['cases']} cases compared, so what fails shows elsewhere."
        if any(p.id in LAYER and p.outcome == "fail" for p in result.properties):
            compared = f"Its attention's numbers are right on all {answer['cases']} cases compared: look at what is around it."
            return Diagnosis("unknown", (), (compared,), **figures)
        if answer["asked"] and answer["dtype"] not in answer["asked"]:
            asked = " or ".join(answer["asked"])
            compared = f"In {answer['dtype']} its numbers are right on all {answer['cases']} cases compared: look at {asked}."
            return Diagnosis("unknown", (), (compared,), **figures)  # known bugs are wrong in every dtype
    return _by_pattern(result, (compared, *_site(answer)), complete=complete, **figures)


def _causes(by_name: dict[str, Mutant], matches: Sequence[tuple[str, float | None]]) -> tuple[Cause, ...]:
    """Each bug once, with the first of the constants that give the numbers."""
    first: dict[str, float | None] = {}
    for name, value in matches:
        first.setdefault(name, value)
    return tuple(_cause(by_name[name], value) for name, value in first.items())


def _other_constants(matches: Sequence[tuple[str, float | None]]) -> list[str]:
    """Say which other constants of a bug give the same numbers; those that differ in their sign alone need no words."""
    sizes: dict[str, dict[float, None]] = {}
    for name, value in matches:
        if value is not None:
            sizes.setdefault(name, {})[abs(value)] = None
    several = {name: list(values) for name, values in sizes.items() if len(values) > 1}
    return [f"{name} gives them with {' or '.join(f'{v:g}' for v in values)}." for name, values in several.items()]


def _explains(cause: Cause, result: SubjectResult, aspects: Sequence[str]) -> bool:
    """Whether a bug is the cause of what fails: where outputs are right, it must fail one of the properties that fail."""
    known = recorded().mutants.get(cause.name)
    failed = {p.id for p in result.properties if p.outcome == "fail"}
    return "eval" in aspects or known is None or bool(failed & {*known.kills, *known.elsewhere})


def _what(aspects: Sequence[str]) -> str:
    """Where else than in the output of a call something is wrong."""
    return " and ".join(_ELSEWHERE[aspect] for aspect in aspects if aspect in _ELSEWHERE) + (
        " is" if len(aspects) == 1 else " are"
    )


_ELSEWHERE = {
    "backward": "the gradient",
    "later": "what a call leaves behind",
    "training": "what it computes in training",
}


def _site(answer: dict[str, Any]) -> list[str]:
    """Say where it drops in training, where that is not where the reference does."""
    return [f"In training it drops {answer['site']}, which is right as well."] if answer.get("site") else []


def _confirmed(result: SubjectResult, answer: dict[str, Any], causes: Sequence[Cause]) -> list[str]:
    which = "this bug" if len(causes) == 1 else "any of these bugs, which the cases cannot distinguish"
    rounded = "" if answer["dtype"] == "float64" else f" but for what {answer['dtype']} rounds"
    wrong = f"{answer['wrong']} are wrong"
    if "eval" not in answer["aspects"]:
        elsewhere = " and ".join(_ELSEWHERE[aspect] for aspect in answer["aspects"])
        wrong = f"{answer['wrong']} are wrong: not the output of a call, but {elsewhere}"
    words = [
        f"It computes exactly what the reference does with {which}: the same numbers{rounded} on all {answer['cases']} cases, "
        f"of which {wrong}."
    ]
    if answer["size"]:
        head, d_model = answer["size"]
        words.append(
            f"All of them have its only size, head={head}, d_model={d_model}: any other formula that agrees there would give "
            "the same numbers."
        )
    words += [_LEFT[what] for what in answer["left"]]
    known = recorded().mutants
    explained = [set(known[cause.name].kills) for cause in causes if cause.name in known]
    others = [p.id for p in result.properties if p.outcome == "fail" and not any(p.id in kills for kills in explained)]
    if others and explained and not answer["left"]:
        words.append(f"With this bug alone the reference passes {_listed(others)}: look there again when it is mended.")
    return words


_LEFT = {
    "fully masked rows": "Fully masked rows apart, where something else differs as well.",
    "backward": "Its gradients differ from those of this bug alone: look at the backward pass as well.",
    "training": "In training mode it differs from this bug alone: it drops elsewhere as well, or something else is wrong.",
}


def _by_pattern(result: SubjectResult, words: tuple[str, ...], *, complete: bool, **figures: Any) -> Diagnosis:
    if not complete:
        return Diagnosis("unknown", (), (*words, "Too few properties were judged to look for similar bugs."), **figures)
    if raises_alike(p.reason for p in result.properties if p.outcome == "fail"):
        more = "Most of what fails raises the same kind of exception: look at that first."
        return Diagnosis("unknown", (), (*words, more), **figures)
    near = tuple(_cause(mutant, None, share) for mutant, share in hints(result))
    if not near:
        return Diagnosis("unknown", (), (*words, "No known bug fails nearly the same properties."), **figures)
    more = "Nearly the same properties fail with what follows: a hint only (docs/diagnosis.md says how often it is right)."
    return Diagnosis("similar", near, (*words, more), **figures)


def _cause(mutant: Mutant, value: float | None, shared: float | None = None) -> Cause:
    formula = mutant.formula if value is None else mutant.formula_with(value)
    computes, _, must = formula.partition("; must ")
    return Cause(mutant.name, mutant.summary, computes, must.removeprefix("be "), mutant.census, shared)


def _in_words(cause: Cause, said: str) -> Cause:
    """Return a cause with these words for what it computes and must compute, if there are some."""
    if not said:
        return cause
    computes, _, must = said.partition("; must ")
    return replace(cause, computes=computes, must_be=must.removeprefix("be "))


def _listed(ids: list[str]) -> str:
    """A few ids in words."""
    return ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
