"""Which known bug a wrong subject has: compared number by number with every mutant, on the same parameters and cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mhsa.bugs.diagnosis.compared_cases import cases_for
from mhsa.bugs.diagnosis.crossed_bugs import bug_under, bugs_under
from mhsa.bugs.diagnosis.dropout_places import SITES
from mhsa.bugs.diagnosis.equivalence import EVERYTHING, SCOPES, Claim, Equivalence, Match
from mhsa.bugs.diagnosis.kept_answers import write_kept
from mhsa.bugs.diagnosis.observe import Observation, observe, observe_mutant
from mhsa.bugs.diagnosis.quantity import ASPECTS, RAISES, alike
from mhsa.bugs.mutants.plain import Plain
from mhsa.bugs.mutants.registry import Mutant
from mhsa.bugs.mutants.right_formula import right_under
from mhsa.oracle.attention import FullyMaskedRow
from mhsa.records.case import Case
from mhsa.records.errors import SubjectError
from mhsa.subject.subject import Subject

# What a fully masked row gets is a convention, and with some bugs other rows end like that too.
_CONVENTIONS: tuple[FullyMaskedRow, ...] = ("zeros", "uniform")
_MOST_CONSTANTS = 24  # of a source: a file with more of them holds more than an attention module


def compare(subject: Subject, more: Sequence[Case] = ()) -> Equivalence:
    """Compare the subject with the right module and with every mutant, on the fixed cases and on ``more``.

    Raises:
        SubjectError: it has an inner width of its own, which no mutant has.
    """
    try:
        return _compared(subject, more)
    finally:
        write_kept()


def _compared(subject: Subject, more: Sequence[Case]) -> Equivalence:
    observations = [observe(subject, case) for case in (*cases_for(subject), *more)]
    for trial in (observation.trial for observation in observations):
        if trial.inner != trial.case.d_model or trial.d_v != trial.d_k:
            raise SubjectError(f"known bugs are kept for maps from d_model to d_model, and {trial.about_width()}")
    if subject.contract.fully_masked_row == "nan":  # declared, so not a bug
        observations = [observation for observation in observations if not observation.empty]
    wrong = {id(observation): _wrong_aspects(observation) for observation in observations}
    site = _site([observation for observation in observations if wrong[id(observation)] == {"training"}])
    if site:
        wrong = {key: aspects if aspects != {"training"} else set() for key, aspects in wrong.items()}
    aspects = {aspect for of_case in wrong.values() for aspect in of_case}
    seen = frozenset({"eval"} if "eval" in aspects else aspects)
    # The cases that exclude most mutants first: nearly every one fails the first. Training excludes least: it may be right.
    # Without a mask the convention for fully masked rows does not matter, which saves a second try.
    observations.sort(key=lambda s: (not wrong[id(s)] - {"training"}, not wrong[id(s)], s.empty, s.trial.mask is not None))
    count = sum(bool(aspects) for aspects in wrong.values())
    claims = [
        Claim(scope, aspects)
        for scope in SCOPES
        for aspects in _demands({a for s in observations if scope == "all" or not s.empty for a in wrong[id(s)]})
    ]
    matches_of: dict[Claim, list[Match]] = {claim: [] for claim in claims}
    for mutant in bugs_under(subject.contract.formula) if claims else ():
        for match, claim in _try(mutant, subject, observations, claims):
            matches_of[claim].append(match)
            claims = claims[: claims.index(claim) + 1]  # a claim that is weaker is not of interest any more
    for claim, matches in matches_of.items():
        if matches:
            # What explains everything with a constant of its own needs no help from one in the subject's source.
            plain = tuple(match for match in matches if not match.borrowed)
            return Equivalence(plain or tuple(matches), len(observations), count, claim, seen, site)
    return Equivalence((), len(observations), count, EVERYTHING, seen, site)


def _site(observations: list[Observation]) -> str:
    """Return what a subject drops that differs from the right module in training alone, if that explains all of it."""
    for words, kind in SITES.items() if observations else ():
        if any(_strictest(kind, list(observations), convention, [EVERYTHING]) for convention in _CONVENTIONS):
            return words
    return ""


def refine(subject: Subject, first: Equivalence, more: Sequence[Case]) -> Equivalence:
    """Return what :func:`compare` gives with ``more`` cases as well, given what it gave without them."""
    if not first.wrong:
        return compare(subject, more)
    observations = [observe(subject, case) for case in more]
    matches = tuple(
        match
        for match in first.matches
        if any(
            bug is not None and _strictest(bug.kind, observations, c, [first.claim]) is not None
            for bug in [bug_under(match.name, match.value, subject.contract.formula)]
            for c in _CONVENTIONS
        )
    )
    wrong = [_wrong_aspects(observation) - ({"training"} if first.site else set()) for observation in observations]
    aspects = first.aspects.union(*wrong)
    claim = first.claim if matches else EVERYTHING
    return Equivalence(
        matches, first.cases + len(observations), first.wrong + sum(map(bool, wrong)), claim, aspects, first.site
    )


def _demands(wrong: set[str]) -> list[frozenset[str]]:
    """In which aspects a mutant has to give a subject's numbers, the strictest first, given those that are wrong.

    Dropout elsewhere than on the weights is right as well, and draws other numbers; and the gradient through a maximum,
    say, takes several ways: where something else is wrong, training or the backward pass need not be the same.
    """
    every = frozenset(ASPECTS)
    demands = [every, every - {"training"}]
    if "eval" in wrong:
        demands += [every - {"backward"}, every - {"backward", "training"}]
    return [aspects for aspects in demands if aspects & wrong]


def _try(
    mutant: Mutant, subject: Subject, observations: list[Observation], claims: list[Claim]
) -> Iterator[tuple[Match, Claim]]:
    """Yield the strictest claim that holds for a mutant, if one does."""
    # The subject's own convention first, where one is known: nothing is stricter than a claim that holds at once.
    conventions = sorted(_CONVENTIONS, key=lambda convention: convention != subject.contract.fully_masked_row)
    order = list(observations)
    for value in _values(mutant, subject):
        bug = bug_under(mutant.name, value, subject.contract.formula)
        if bug is None:
            continue
        chosen = bug.kind
        if observations[0].trial.mask is None and not _strictest(chosen, observations[:1], conventions[0], claims):
            continue
        held: Claim | None = None
        for convention in conventions:
            stricter = claims if held is None else claims[: claims.index(held)]
            held = _strictest(chosen, order, convention, stricter) or held
        if held is not None:
            yield Match(mutant.name, value, bool(mutant.free) and value != mutant.default, bug.words), held


def _strictest(
    kind: type[Plain], observations: list[Observation], convention: FullyMaskedRow, claims: list[Claim]
) -> Claim | None:
    """Return the first claim that holds on all observations; one that leaves none is put first, for the next one."""
    left = list(claims)
    for n, observation in enumerate(observations):
        if not left:
            return None
        agreeing = _agreeing(kind, observation, convention, left)
        left = [c for c in left if (observation.empty and c.scope != "all") or c.aspects <= agreeing]
        if not left:
            observations.insert(0, observations.pop(n))
    return left[0] if left else None


def _values(mutant: Mutant, subject: Subject) -> list[float | None]:
    """Values of a mutant's free constant that are worth a try: its own, and the numbers in the subject's source."""
    if not mutant.free:
        return [None]
    own = mutant.default
    values = dict.fromkeys((own, *subject.constants[:_MOST_CONSTANTS]))
    if isinstance(own, int):
        return [value for value in values if isinstance(value, int) and value > 0]
    return list(dict.fromkeys(signed for value in values for signed in (float(value), -float(value))))


def _wrong_aspects(observation: Observation) -> set[str]:
    """In which aspects a subject's answer is not that of the right module; where its call is wrong, that alone is returned.

    Whatever else is wrong there, what is demanded of a mutant is the same (:func:`_demands`), and finding it out takes time.
    """
    wrong = set(ASPECTS)
    # To the right module the convention matters in fully masked rows alone.
    for convention in _CONVENTIONS if observation.empty else _CONVENTIONS[:1]:
        agreeing = _agreeing(
            right_under(observation.trial.formula), observation, convention, [Claim("all", frozenset({"eval"}))]
        )
        if "eval" in agreeing:
            wrong -= agreeing
        if not wrong:
            break
    return {"eval"} if "eval" in wrong else wrong


def _agreeing(kind: type[Plain], observation: Observation, convention: FullyMaskedRow, claims: list[Claim]) -> set[str]:
    """Return the aspects in which a kind of module gives the subject's numbers; looks no further than the claims need."""
    agreeing, raised = set(ASPECTS), set()
    for quantity in observe_mutant(kind, observation, convention):
        raised |= {quantity.name} if quantity.name.endswith(RAISES) else set()
        seen = observation.quantities.get(quantity.name)  # not every module returns weights, or has every bias
        if (
            quantity.aspect in agreeing
            and seen is not None
            and not alike(seen, quantity, observation.tolerances[quantity.name])
        ):
            agreeing.discard(quantity.aspect)
            if not any(claim.aspects <= agreeing for claim in claims):
                return agreeing
    must = {name for name in observation.quantities if name.endswith(RAISES)}
    return agreeing - {name.partition(" ")[0] for name in raised ^ must}
