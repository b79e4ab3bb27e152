"""Branches that no usual call takes: for compilers and exporters, for settings of torch, and behind flags of a built module."""

from hypothesis import given

from mhsa.judge.branches.along_a_branch import judge_gradients, judge_output
from mhsa.judge.branches.asked_of_torch import answered_otherwise, questions_of
from mhsa.judge.branches.chosen_ways import other_ways
from mhsa.judge.branches.own_code import own_functions
from mhsa.judge.budget import light
from mhsa.judge.dropout.unused_rate import repeats
from mhsa.judge.strategies import cases
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.guard import guard
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "padding", "causal", "random")


@light
@given(case=cases(masks=ANY, data=("integers",), dtypes=("float64", "float32"), min_keys=2, small=True))
def test_what_it_asks_of_torch_changes_nothing(subject: Subject, case: Case) -> None:
    """Whatever torch says of compilers, exporters, determinism and kernels, the output is the same.

    Statement: |O - o| <= B where torch.compiler.is_compiling() and the like are answered with the opposite of what is true,
        each by itself, with the mask and without one.
    Requires: code of the subject's own that asks one of them. A branch that raises is not judged.
    Source: P14; pytorch/pytorch#191203, torch-spyre#4526; torch's notes on is_compiling: it must not change the result.
    Breaks it: a shorter way for torch.compile, torch.export, torch.jit or ONNX that forgets the mask or the scale.
    """
    trial = Trial(subject, case)
    trial()
    functions = own_functions(trial)
    questions = questions_of(functions)
    if not questions:
        check.inapplicable("needs code that asks torch whether it is compiled, exported or the like")
    times = 0
    for masked in (True, False) if trial.mask is not None and not subject.adapter.needs_mask else (True,):
        answer = trial() if masked else trial(mask=None)
        for question in questions:
            with answered_otherwise(question, functions) as asked:
                judge_output(trial, answer, f"where {question}() is answered the other way")
            times += asked.times
    if not times and (trial.mask is not None or not subject.adapter.takes_mask):  # it may ask where there is a mask
        check.inapplicable("needs calls that ask torch whether they are compiled, exported or the like")
    check.current().add_ratio(0.0)


@light
@given(case=cases(masks=ANY, data=("integers",), dtypes=("float64", "float32"), min_keys=2, small=True))
def test_every_way_computes_the_same(subject: Subject, case: Case) -> None:
    """A flag of the built module that chooses an implementation changes nothing but the way.

    Statement: |O - o| <= B where flags called flash, use_sdpa, fused, gradient_checkpointing and the like have their other
        value, each by itself; in train mode with a rate of 0 the gradients are those of the formula, too.
    Requires: such a flag, which the code of the subject's own reads. A way that raises is not judged, and one that computes
        in a coarser format is by the roundoff of that one.
    Source: P14; pytorch/pytorch#160064; huggingface/transformers PR#30652 (another mask in another implementation).
    Breaks it: a kernel that is given no mask, or its own scale; a checkpoint of other arguments.
    """
    trial = Trial(subject, case)
    trial()
    if not other_ways(trial):
        check.inapplicable("needs a flag of the built module that chooses an implementation")
    taken = 0
    for masked in (True, False) if trial.mask is not None and not subject.adapter.needs_mask else (True,):
        answer = trial() if masked else trial(mask=None)
        for way in other_ways(trial):
            with way.taken():
                taken += judge_output(trial, answer, f"with {way.words}")
    if not taken:
        check.inapplicable("needs a flag that can be turned here: every other way raises")
    judge_in_train_mode(subject, case)


def judge_in_train_mode(subject: Subject, case: Case) -> None:
    """Fail unless each way has the gradients of the formula in train mode without dropout; where that cannot be had, return."""
    module = guard("building it without dropout", lambda: subject.adapter.build_dropping(case.head, case.d_model, 0.0))
    trial = Trial(subject, case, counted=False, module=module)
    if getattr(trial.module, "computes_with_numpy", False):
        return
    d_output = trial.cotangent(20, case.output_shape)
    expected = trial.differentiate(d_output).expected
    trial.train()
    if module is None and not repeats(trial):
        return
    for way in other_ways(trial):
        with way.taken():
            judge_gradients(trial, expected, trial.tensor(d_output), f"with {way.words}, in train mode")
