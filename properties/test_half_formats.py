"""Half formats, of which every profile tries a few cases, whatever dtypes were asked for."""

from dataclasses import replace

from hypothesis import given

from mhsa.judge.budget import light
from mhsa.judge.strategies import cases
from mhsa.oracle.attention import OracleError
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.guard import attempt
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "padding", "random")
DATA = ("integers", "normal", "ties")  # of a size whose scores no half format has to fear


def call(trial: Trial) -> bool:
    """Call with the case's tensors; True where that returns, whatever it returns."""
    q, k, v = (trial.tensor(x) for x in (trial.query, trial.key, trial.value))
    trial.call_unchecked(q, k, v, None if trial.mask is None else trial.convert(trial.mask))
    return True


def compare(subject: Subject, case: Case, dtype: str) -> None:
    """One call in a half format, against the oracle; sums may be made in the format itself, which nobody has declared."""
    if dtype in subject.dtypes:
        check.inapplicable(f"needs {dtype} not to be asked for: every property judges it then")
    rough = replace(subject, contract=replace(subject.contract, accumulation="dtype"))
    case = case.resized(dtype=dtype)
    done, said = attempt(lambda: call(Trial(rough, case, counted=False)))
    if done is None:
        check.inapplicable(f"needs a module that computes in {dtype}: {said}")
    trial = Trial(rough, case)
    answer = trial()
    try:
        required = answer.expected.output
    except OracleError:
        check.inapplicable(f"needs a width whose sums {dtype} can bound")
    check.within("output", answer.output, required, answer.judged)


@light
@given(case=cases(masks=ANY, data=DATA, dtypes=("float32",), small=True))
def test_output_in_bfloat16(subject: Subject, case: Case) -> None:
    """What a module computes in bfloat16 is attention, too.

    Statement: |O - o| <= B for inputs and parameters in bfloat16, where sums may be rounded to bfloat16 as well.
    Requires: a module that computes in bfloat16; one that raises there says so itself.
    Source: TransformerEngine#3216; bound: docs/bounds.md.
    Breaks it: places or angles counted in bfloat16, which has 8 bits; a fill, a scale or an epsilon that is lost.
    """
    compare(subject, case, "bfloat16")


@light
@given(case=cases(masks=ANY, data=DATA, dtypes=("float32",), small=True))
def test_output_in_float16(subject: Subject, case: Case) -> None:
    """What a module computes in float16 is attention, too.

    Statement: |O - o| <= B for inputs and parameters in float16, where sums may be rounded to float16 as well.
    Requires: a module that computes in float16; one that raises there says so itself.
    Source: trl#7181; bound: docs/bounds.md.
    Breaks it: a fill beyond 65504 that becomes infinite and is multiplied by zero, an epsilon below 2^-24, which is zero.
    """
    compare(subject, case, "float16")
