"""Train and eval, with and without gradients, weights requested or not: the same attention."""

import torch
from hypothesis import given
from torch import Tensor, nn

from mhsa.judge.budget import light
from mhsa.judge.dropout.unused_rate import repeats
from mhsa.judge.strategies import cases
from mhsa.oracle.bounded import Array
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.guard import attempt, guard
from mhsa.subject.memory_layout import numbers
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "padding", "causal", "random")


def call_again(trial: Trial, seed: int = 0, need_weights: bool | None = None) -> Array:
    """Call the module as it is with the tensors of the last call; random numbers start at ``seed``."""
    torch.manual_seed(seed)
    output = trial.call_again(need_weights)[0]
    shape = list(trial.case.output_shape)
    if not isinstance(output, Tensor) or list(output.shape) != shape:
        got = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
        check.fail(f"output is {got}, but must be a tensor {shape}", what="output")
    return numbers(output)


def not_if_it_drops(trial: Trial, without_dropout: nn.Module | None) -> None:
    """End a property in train mode where the rate is fixed in the code, and random numbers make a difference."""
    if without_dropout is None and not repeats(trial):
        check.inapplicable("needs a rate of dropout that can be set to 0")


def everything_is_differentiated(trial: Trial, where: str = "") -> None:
    """Fail unless query, key, value and all parameters receive the oracle's gradients."""
    derivatives = trial.differentiate(trial.cotangent(20, trial.case.output_shape))
    for name, required in derivatives.expected.items():
        if name in derivatives.observed:
            check.within(f"gradient of {name}{where}", derivatives.observed[name], required)


@light
@given(case=cases(masks=ANY))
def test_train_is_eval_without_dropout(subject: Subject, case: Case) -> None:
    """With dropout 0, train and eval mode compute the same.

    Statement: O in train mode = O in eval mode, within the bound, where the rate of dropout is 0; parameters are what they
        were, and so are those that are 64 times as large.
    Requires: a rate that can be set to 0, or no dropout.
    Source: P14; pytorch/pytorch#97605, #97409 (a mask accepted in train mode and refused in eval).
    Breaks it: a fast path in eval mode that takes a mask otherwise, statistics that run in train mode, weights that are clamped
        in forward.
    """
    module = guard("building it without dropout", lambda: subject.adapter.build_dropping(case.head, case.d_model, 0.0))
    trial = Trial(subject, case, module=module)
    answer = trial()
    trial.train()
    first = call_again(trial)
    not_if_it_drops(trial, module)
    check.within("output in train mode", first, answer.expected.output, answer.judged)
    require_own_parameters(trial)


def require_own_parameters(trial: Trial) -> None:
    """Fail if a call in train mode writes into a trained parameter, of usual size or 64 times as large."""
    parameters = {name: p for name, p in trial.module.named_parameters() if p.requires_grad}
    held = {name: p.detach().clone() for name, p in parameters.items()}
    for factor in (1, 64):
        with torch.no_grad():
            for name, p in parameters.items():
                p.copy_(factor * held[name])
        if attempt(trial.call_again)[0] is None:
            continue
        for name, p in parameters.items():
            if not torch.equal(p.nan_to_num(), (factor * held[name]).nan_to_num()):
                check.fail(f"{name} changed in a call in train mode, but only an optimizer may change it", what=name)
    with torch.no_grad():
        for name, p in parameters.items():
            p.copy_(held[name])


@light
@given(case=cases(masks=ANY, large="length", data=("integers", "normal")))
def test_gradients_in_train_mode(subject: Subject, case: Case) -> None:
    """With dropout 0, train mode has the gradients of the formula.

    Statement: dL/dq, dL/dk, dL/dv and the gradients of all parameters in train mode are those of the formula, within the bound,
        where the rate of dropout is 0; with up to 600 keys and 129 queries.
    Requires: autograd; a rate that can be set to 0, or no dropout.
    Source: P14, P16.
    Breaks it: a checkpoint in train mode that computes something else again, a fused backward pass of train mode alone.
    """
    module = guard("building it without dropout", lambda: subject.adapter.build_dropping(case.head, case.d_model, 0.0))
    trial = Trial(subject, case, module=module)
    trial.require_gradients()
    trial()
    trial.train()
    not_if_it_drops(trial, module)
    everything_is_differentiated(trial, " in train mode")


@light
@given(case=cases(masks=ANY, small=True))
def test_eval_is_deterministic(subject: Subject, case: Case) -> None:
    """In eval mode random numbers play no part, whatever the module was before.

    Statement: O in eval mode is within its bound for every seed, before and after train mode; so it is where a module of which
        it is a part is set to eval mode.
    Requires: nothing.
    Source: P19; pytorch-image-models PR#1978, nanoGPT PR#240, torchtune#1791, wenet#2699 and more.
    Breaks it: dropout that eval() does not switch off: made in forward, or dropout_p passed to scaled_dot_product_attention;
        one that is switched in a method eval() of its own, which a model around it does not call.
    """
    module = guard("building it", lambda: subject.adapter.build_dropping(case.head, case.d_model, 0.5))
    trial = Trial(subject, case, module=module)
    answer = trial()
    check.within("output in eval mode", answer.output, answer.expected.output, answer.judged)
    for words, whole in (("", trial.module), (", as a part of a module", nn.ModuleList([trial.module]))):
        trial.train()
        call_again(trial)
        whole.eval()
        what = f"output in eval mode after train mode{words}"
        for seed in (1, 2):
            check.within(what, call_again(trial, seed), answer.expected.output, answer.judged)


@light
@given(case=cases(masks=ANY))
def test_gradient_modes_agree(subject: Subject, case: Case) -> None:
    """Whether autograd watches makes no difference to the output.

    Statement: O with gradients, under no_grad and under inference_mode lie within the same bound.
    Requires: nothing.
    Source: P14; pytorch/pytorch#97409: a fast path that is taken without gradients only.
    Breaks it: a path for inference that drops the mask or the scale; a cache that is filled without gradients.
    """
    trial = Trial(subject, case)
    answer = trial()
    for name, mode in (("grad", torch.enable_grad), ("no_grad", torch.no_grad), ("inference_mode", torch.inference_mode)):
        with mode():
            output = call_again(trial)
        check.within(f"output under {name}", output, answer.expected.output, answer.judged)


@light
@given(case=cases(masks=ANY, small=True))
def test_gradients_after_calls_without_them(subject: Subject, case: Case) -> None:
    """A call without autograd leaves the gradients of the next one as they are.

    Statement: after calls under no_grad and inference_mode, dL/dq, dL/dk, dL/dv and the gradients of all parameters are those
        of the formula, within the bound; by even seeds such a call is the first one that the module has.
    Requires: autograd.
    Source: P14, P18; validation between two steps of training, or before the first of them.
    Breaks it: joined weights or a mask that are kept from a call without gradients, and belong to no graph; tables that are
        made in the first call, under inference_mode, and that autograd refuses to keep in the next.
    """
    trial = Trial(subject, case)
    trial.require_gradients()
    trial()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            call_again(trial)
    everything_is_differentiated(trial)
    if case.seed % 2 == 0 and subject.contract.after_inference != "raise":
        trial.use(trial.fresh_copy().module)
        with torch.inference_mode():
            call_again(trial)
        require_gradients_after_inference(trial)


def require_gradients_after_inference(trial: Trial) -> None:
    """Fail unless a module whose first call was one under inference_mode can be trained; where it raises, as a question."""
    seen = [x.detach().clone().requires_grad_() for x in trial.last_tensors[:3]]
    made, said = attempt(lambda: trial.call_unchecked(*seen, trial.last_tensors[3])[0].sum().backward())
    if made is None and "nference tensor" in said:
        check.fail(
            f"after a first call under inference_mode it cannot be trained: {said}",
            what="backward pass",
            declaration={} if trial.subject.contract.after_inference == "trains" else {"after_inference": "raise"},
        )
    everything_is_differentiated(trial)


@light
@given(case=cases(masks=(*ANY, "fully_masked_row"), need_weights=True))
def test_asking_for_weights_changes_nothing(subject: Subject, case: Case) -> None:
    """The output is the same whether weights are requested or not.

    Statement: O with need_weights = O without, within the bound.
    Requires: a forward with a switch for weights.
    Source: P14; pytorch/pytorch#160064, #152028 (NaN with weights only), transformers PR#30652 (no causal mask with weights).
    Breaks it: a fused path without weights that treats masks, scale or dropout in another way.
    """
    if not subject.adapter.weights_on_request:
        check.inapplicable("needs a forward with a switch for weights")
    trial = Trial(subject, case)
    answer = trial()
    for wanted in (True, False):
        output = call_again(trial, need_weights=wanted)
        check.within(f"output with need_weights={wanted}", output, answer.expected.output, answer.judged)
