"""Copies, and what is changed in place: a module is what its parameters are now, and a call what its tensors are now."""

import copy
import io
import pickle
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from torch import Tensor, nn

from mhsa.judge.budget import light, rare
from mhsa.judge.other_options import OtherModule, others, output_of, repeated_output
from mhsa.judge.strategies import cases
from mhsa.oracle.bounded import Array
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.adapters.adapter import in_eval_mode
from mhsa.subject.answer import Mask
from mhsa.subject.guard import attempt, guard
from mhsa.subject.memory_layout import numbers, tied
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "padding", "random")
_FURTHER = 40  # more tokens than any of these cases has: of such lengths nothing is kept from a call of another property


def called_trial(subject: Subject, case: Case) -> Trial:
    """A trial that has been called, so that whatever a module keeps is there. No graph is kept: it cannot be copied."""
    trial = Trial(subject, case.resized(grad=False))
    trial()
    return trial


def compare(trial: Trial, what: str) -> None:
    """One call of the trial's module, against the oracle with its present parameters."""
    answer = trial()
    check.within(f"output {what}", answer.output, answer.expected.output, answer.judged)


def change(trial: Trial) -> None:
    """Give every parameter other numbers, in place."""
    trial.fill(trial.case.resized(seed=trial.case.seed + 1))


@light
@given(case=cases(masks=ANY, small=True))
def test_parameters_changed_in_place(subject: Subject, case: Case) -> None:
    """Parameters that are changed in place, as optimizers do, are seen by the next call.

    Statement: f_W'(x) after W was overwritten by W' is f of W'.
    Requires: parameters that can be written.
    Source: P18, A40.
    Breaks it: a fused, transposed or normalised weight kept from an earlier call.
    """
    trial = called_trial(subject, case)
    change(trial)
    compare(trial, "after parameters changed in place")


class Held:
    """The tensors of a caller who changes them in place between calls.

    Attributes:
        tokens: query, key and value.
        mask: in the subject's own form, or None.
    """

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.tokens = tied(trial.tensor, trial.query, trial.key, trial.value)
        self.mask = None if trial.mask is None else self.form(trial.mask)

    def form(self, mask: Mask) -> Tensor:
        """Return a new tensor that says this, in memory of its own."""
        return self.trial.convert(mask).clone()

    def free_and_make(self, mask: Mask) -> None:
        """Free the mask and make another one, at the same address and under the same identity if those can be had."""
        assert self.mask is not None
        other, before = self.form(mask), (id(self.mask), self.mask.data_ptr())
        self.mask = None
        made: list[Tensor] = []
        while len(made) < 8 and (not made or (id(made[-1]), made[-1].data_ptr()) != before):
            made.append(other.clone())
        self.mask = made[-1]

    def compare(self, tokens: list[Array], mask: Mask | None, what: str) -> None:
        """One call with the tensors as they are, against the oracle with the numbers that they hold."""
        trial, (q, k, v) = self.trial, self.tokens
        with torch.set_grad_enabled(trial.case.grad):
            output, weights = guard("the call", lambda: trial.call_unchecked(q, k, v, self.mask))
        trial.check_form(output, weights, *tokens[0].shape[:2], tokens[1].shape[1])
        seen = trial.effective(mask, tokens[0], tokens[1])
        required = trial.predict(tokens[0], tokens[1], tokens[2], trial.projections, seen, trial.bias).output
        check.within(f"output after {what}", numbers(output), required, None if seen is None else seen.any(-1, keepdims=True))


@light
@given(case=cases(masks=("padding", "random", "none"), min_keys=2, data=("integers", "ties"), small=True))
def test_tensors_changed_in_place(subject: Subject, case: Case) -> None:
    """Query, key, value and mask that the caller has changed in place are read anew in the next call.

    Statement: f(x, M') after M was overwritten by M', and f(x', M) after x was overwritten by x', too, are what the formula
        gives for the numbers that the tensors hold now; so is f(x', M') where M' lies where M lay before it was freed.
    Requires: nothing.
    Source: P18, A40; loops that fill the same buffers for every batch.
    Breaks it: masks or projected keys that are kept for an object, an address or a sum.
    """
    trial = Trial(subject, case.resized(layout="contiguous"))
    held, before = Held(trial), [trial.query, trial.key, trial.value]
    held.compare(before, trial.mask, "an earlier call")
    # The same numbers in another order, which no sum can tell; where that changes nothing, their negatives.
    after = tied(lambda x: -x if np.array_equal(x, x[::-1, ::-1]) else x[::-1, ::-1].copy(), *before)
    everything = None if trial.mask is None else np.ones_like(trial.mask)
    with torch.no_grad():
        if held.mask is not None and everything is not None:
            held.mask.copy_(trial.convert(everything))
            held.compare(before, everything, "the mask was changed in place")
            held.mask.copy_(trial.convert(trial.mask))
        for tensor, values in {id(t): (t, x) for t, x in zip(held.tokens, after, strict=True)}.values():
            tensor.copy_(trial.tensor(values))
    held.compare(after, trial.mask, "tensors were changed in place")
    if everything is not None:
        held.free_and_make(everything)
        held.compare(after, everything, "the mask was freed and another one made")


@light
@given(case=cases(masks=ANY, small=True))
def test_parameters_loaded_from_a_state_dict(subject: Subject, case: Case) -> None:
    """A state dict is the whole module: loaded into another one, it makes it the same.

    Statement: a freshly built module that loads f's state_dict is f; and f sees what load_state_dict brings.
    Requires: nothing.
    Source: P14.
    Breaks it: a tensor that matters and is neither parameter nor buffer, hooks that rename or transpose on one way only.
    """
    trial = called_trial(subject, case)
    state = copy.deepcopy(trial.module.state_dict())
    built = guard("building another", lambda: subject.adapter.build(case.head, case.d_model))
    other = in_eval_mode(built.to(subject.device, trial.dtype))
    guard("load_state_dict", lambda: other.load_state_dict(state))
    original = trial.module
    trial.use(other)
    compare(trial, "of a module that loaded the state dict")
    trial.use(original)
    change(trial)
    guard("load_state_dict", lambda: original.load_state_dict(state))
    trial.reread()
    compare(trial, "after load_state_dict")


@light
@given(case=cases(masks=ANY, small=True))
def test_parameters_replaced_as_attributes(subject: Subject, case: Case) -> None:
    """A parameter that is replaced by another object is seen by the next call.

    Statement: setattr(owner, name, nn.Parameter(W')) makes f the module with W'.
    Requires: parameters that can be assigned.
    Source: P18; weight tying and adapters work this way.
    Breaks it: a list of parameters gathered in the constructor, a reference or view kept in addition to the parameter.
    """
    trial = called_trial(subject, case)
    other = trial.fresh_copy()
    change(other)
    new = dict(other.module.named_parameters())
    for path, parameter in list(trial.module.named_parameters()):
        owner, _, name = path.rpartition(".")
        values = nn.Parameter(new[path].detach().clone(), requires_grad=parameter.requires_grad)
        done, said = attempt(
            lambda owner=owner, name=name, values=values: setattr(trial.module.get_submodule(owner), name, values)
        )
        if done is None:
            check.inapplicable(f"needs parameters that can be assigned: {said}")
    trial.use(trial.module)
    trial.reread()
    compare(trial, "after parameters were replaced")


@light
@given(case=cases(masks=ANY, small=True))
def test_deep_copies(subject: Subject, case: Case) -> None:
    """A deep copy is the same module, and shares nothing with the original.

    Statement: deepcopy(f) = f; changing the parameters of the copy does not change f. So of a copy that is made while all
        parameters are frozen, each has memory of its own.
    Requires: a module that can be copied.
    Source: P14, P18.
    Breaks it: a closure or a cache that still holds the original's parameters, a copy of the module that shares them.
    """
    trial = called_trial(subject, case)
    made, said = attempt(lambda: copy.deepcopy(trial.module))
    if made is None:
        check.inapplicable(f"needs a module that can be copied: {said}")
    original = trial.module
    before = {name: numbers(p) for name, p in original.named_parameters()}
    trial.use(made[0])
    compare(trial, "of a deep copy")
    change(trial)
    compare(trial, "of a deep copy with other parameters")
    for name, p in original.named_parameters():
        check.unchanged(f"{name} of the original, after its copy was changed", numbers(p), before[name])
    trial.use(original)
    trial.reread()
    compare(trial, "of the original after its copy was changed")
    require_copy_of_frozen(original)


def require_copy_of_frozen(original: nn.Module) -> None:
    """Fail if a deep copy that is made while all parameters are frozen shares one that was trained before."""
    trained = {name: p for name, p in original.named_parameters() if p.requires_grad}
    for p in trained.values():
        p.requires_grad_(False)
    made, _ = attempt(lambda: copy.deepcopy(original))
    for p in trained.values():
        p.requires_grad_(True)
    for name, p in made[0].named_parameters() if made is not None else ():
        if name in trained and p.numel() and p.data_ptr() == trained[name].data_ptr():
            check.fail(f"{name} of a deep copy that is made while it is frozen is that of the original", what=name)


@light
@given(case=cases(masks=ANY, small=True))
def test_pickled_copies(subject: Subject, case: Case) -> None:
    """A module survives pickling, as data loaders, spawn and torch.save do it.

    Statement: unpickled(pickled(f)) = f.
    Requires: a module that can be pickled: its class must be importable by its name.
    Source: P14.
    Breaks it: __getstate__ or __reduce__ that loses a mode, a rate or a buffer.
    """
    trial = called_trial(subject, case)
    made, said = attempt(lambda: through_a_file(trial.module))
    if made is None:
        check.inapplicable(f"needs a module that can be pickled: {said}")
    trial.use(made[0])
    compare(trial, "of an unpickled copy")


@rare
@given(case=cases(masks=ANY, ties=("all",), dtypes=("float64",), small=True))
def test_options_survive_copies(subject: Subject, case: Case) -> None:
    """A module whose options are not those by default keeps them in every copy.

    Statement: for each option of the constructor with a default, f with another number or switch in its place answers to the
        last bit as its deep copy does, what comes back from its pickle, and another one that is built so and loads its state
        dict. After a call of it, of lengths that were not called before, f is the formula's in these lengths.
    Requires: a constructor with options; options with which the module answers alike each time.
    Source: P14.
    Breaks it: __reduce__, __setstate__ or __deepcopy__ that builds the module again with the defaults; tables that all modules
        of a class share, and look up without the option on which they depend.
    """
    trial = Trial(subject, case.resized(grad=False))
    trial()
    tried = 0
    for made in others(subject, case, trial):
        expected = repeated_output(trial, made.module)
        if expected is None:
            continue
        tried += 1
        for how, other in copied(made):
            output = output_of(trial, other)
            if output is None:
                check.fail(f"{how} of a module with {made.words} cannot be called as that one can", what="call")
            check.exactly(f"output of {how} of a module with {made.words}", numbers(output), numbers(expected))
        require_alone(subject, case, made, _FURTHER + tried)
    if not tried:
        check.inapplicable("needs an option of the constructor that can have another value than its default")


def require_alone(subject: Subject, case: Case, made: OtherModule, longer: int) -> None:
    """Fail unless a module answers as the formula after one with another option was the first to be called in its lengths."""
    sizes = {"query_length": case.query_length + longer, "key_length": case.key_length + longer}
    after = Trial(subject, replace(case, mask="none", grad=False, **sizes))
    x = after.tensor(after.round_inputs(after.case)[0])
    with torch.no_grad():
        called, _ = attempt(lambda: after.caller(made.module, x, x, x, None, False))
    if called is not None:  # a longest length may be among what it was built with
        answer = after()
        check.within(f"output after a call of a module with {made.words}", answer.output, answer.expected.output, answer.judged)


def copied(made: OtherModule) -> Iterator[tuple[str, nn.Module]]:
    """Yield copies of a module, with words for them; one that cannot be made promises nothing."""

    def loaded() -> nn.Module:
        other = made.build()
        other.load_state_dict(copy.deepcopy(made.module.state_dict()))
        return in_eval_mode(other)

    ways = {
        "a deep copy": lambda: copy.deepcopy(made.module),
        "an unpickled copy": lambda: through_a_file(made.module),
        "another one that loaded the state dict": loaded,
    }
    for words, make in ways.items():
        other, _ = attempt(make)
        if other is not None:
            yield words, other[0]


def through_a_file(module: nn.Module) -> nn.Module:
    """Return what comes back from the pickle of a module."""
    file = io.BytesIO()
    pickle.dump(module, file)
    file.seek(0)
    loaded: nn.Module = pickle.load(file)
    return loaded


@light
@given(case=cases(masks=ANY, small=True, dtypes=("float32",)))
def test_moved_to_another_dtype(subject: Subject, case: Case) -> None:
    """A module that was used in one dtype and moved to another computes in the new one.

    Statement: f.to(float64), after calls in float32, is within float64's bound on float64 inputs; and f.to(float32), after a
        call in bfloat16, within float32's.
    Requires: nothing; for bfloat16 a module that computes in it, without buffers that .to(bfloat16) rounds.
    Source: P14; wrong caches are the usual way to lose it.
    Breaks it: constants, masks, tables or weights kept in the dtype of the first call.
    """
    trial = called_trial(subject, case)
    wide = Trial(subject, case.resized(dtype="float64", grad=False), module=trial.module)
    compare(wide, "after .to(float64)")
    half = Trial(subject, case.resized(dtype="bfloat16", grad=False), counted=False)
    if any(x.is_floating_point() for x in half.module.buffers()):
        return
    try:
        half()
    except (check.Violation, check.Inapplicable):  # what is wrong in bfloat16 is for other properties
        return
    compare(Trial(subject, case.resized(grad=False), module=half.module), "after a call in bfloat16 and .to(float32)")
