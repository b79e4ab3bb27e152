"""Identities that gradients must satisfy among themselves, whatever the loss: consequences of what changes nothing."""

import numpy as np
from hypothesis import given

from mhsa.judge.budget import light
from mhsa.judge.strategies import cases
from mhsa.oracle.bounded import Array
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.answer import Differentiated
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "padding", "causal", "random")


def differentiated(subject: Subject, case: Case) -> tuple[Trial, Differentiated]:
    """A trial and its gradients for some loss."""
    trial = Trial(subject, case)
    return trial, trial.differentiate(trial.cotangent(20, (case.batch, case.query_length, case.d_model)))


def moment(trial: Trial, derivatives: Differentiated, left: str, right: str) -> tuple[Array, Array]:
    """[H, d_k, d_k]: per head, sum over the tokens of (the left map's output) times (the gradient of the right map's output).

    For Y = X W^T + b that is W dW^T + b db^T, so parameters and their gradients are enough; with the sum of their errors.
    """
    case = trial.case
    width = trial.d_v if left == "value" else trial.d_k
    shape = (case.head, width)
    parameters = dict(trial.views.views())
    total, tolerance = np.zeros((case.head, width, width)), np.zeros((case.head, width, width))
    for kind in ("weight", "bias"):
        if f"{left}.{kind}" not in parameters:
            if f"{left}.{kind}" in trial.views.fixed:
                derivatives.observed[f"{right}.{kind}"]  # it has none, so the property is not applicable
            continue
        w = getattr(getattr(trial.projections, left), kind).reshape(*shape, -1)
        g = derivatives.observed[f"{right}.{kind}"].reshape(*shape, -1)
        error = derivatives.expected[f"{right}.{kind}"].error.reshape(*shape, -1)
        total += w @ g.swapaxes(1, 2)
        tolerance += np.abs(w) @ (error + 2.0**-50 * w.shape[-1] * np.abs(g)).swapaxes(1, 2)  # and the sums formed here
    return total, tolerance


@light
@given(case=cases(masks=ANY, min_keys=2, small=True))
def test_query_and_key_gradient_products_match(subject: Subject, case: Case) -> None:
    """Scaling queries up and keys down changes nothing, so their gradients weigh the same.

    Statement: per head, <Q, dQ> = <K, dK>; in parameters <W_Q, dW_Q> + <b_Q, db_Q> = <W_K, dW_K> + <b_K, db_K>.
    Requires: autograd.
    Source: A29, the Euler relation of q -> a q, k -> k / a.
    Breaks it: a scale missing in dQ or dK, dQ and dK exchanged, a gradient that reaches only one of them.
    """
    check.not_under(subject.contract.formula.between, "features may be mixed")
    check.not_under(subject.contract.formula.shared, "needs a key head for each query head")
    trial, derivatives = differentiated(subject, case)
    query, key = moment(trial, derivatives, "query", "query"), moment(trial, derivatives, "key", "key")
    traces = [tuple(np.trace(x, axis1=1, axis2=2) for x in pair) for pair in (query, key)]
    check.agree("<Q, dQ> against <K, dK>", *traces)


@light
@given(case=cases(masks=ANY, min_keys=2, small=True))
def test_every_mixing_of_query_features_is_undone_by_keys(subject: Subject, case: Case) -> None:
    """Mixing the features of queries by any matrix, and those of keys by its inverse transpose, changes nothing.

    Statement: per head, Q^T dQ = (K^T dK)^T as d_k x d_k matrices.
    Requires: autograd.
    Source: A30, from the symmetry GL(d_k) of A11.
    Breaks it: features of a head mixed or exchanged in the backward pass only; a wrong transposition of dS.
    """
    check.not_under(subject.contract.formula.between, "features may be mixed")
    check.not_under(subject.contract.formula.shared, "needs a key head for each query head")
    trial, derivatives = differentiated(subject, case)
    query, key = moment(trial, derivatives, "query", "query"), moment(trial, derivatives, "key", "key")
    check.agree("Q^T dQ against (K^T dK)^T", query, (key[0].swapaxes(1, 2), key[1].swapaxes(1, 2)))


@light
@given(case=cases(masks=ANY, small=True))
def test_value_and_output_gradient_products_match(subject: Subject, case: Case) -> None:
    """Scaling values up and W_O down changes nothing, so their gradients weigh the same.

    Statement: per head, <V, dV> = <Z, dZ>, and more: V^T dV = Z^T dZ as d_k x d_k matrices; in parameters
        W_V,h dW_V,h^T + b_V,h db_V,h^T = (dW_O,h^T W_O,h).
    Requires: autograd; rows with an allowed key, or zero weights where there is none.
    Source: A31, from the symmetry GL(d_k) of A12.
    Breaks it: dV doubled or scaled, dropout left in the backward pass, dW_O formed with the wrong heads.
    """
    check.not_under(subject.contract.formula.shared, "needs a key head for each query head")
    trial, derivatives = differentiated(subject, case)
    value = moment(trial, derivatives, "value", "value")
    shape = (case.d_model, case.head, trial.d_v)
    w = trial.projections.out.weight.reshape(shape)
    g, error = derivatives.observed["out.weight"].reshape(shape), derivatives.expected["out.weight"].error.reshape(shape)
    out = np.einsum("ohc,ohd->hcd", g, w)
    tolerance = np.einsum("ohc,ohd->hcd", error + 2.0**-50 * case.d_model * np.abs(g), np.abs(w))
    check.agree("V^T dV against Z^T dZ", value, (out, tolerance))


@light
@given(case=cases(masks=ANY, small=True))
def test_key_bias_has_no_gradient(subject: Subject, case: Case) -> None:
    """A constant added to all keys changes nothing, so the key bias has no gradient.

    Statement: dL/db_K = 0 up to rounding, for every loss.
    Requires: autograd; a bias of the key projection; no soft cap.
    Source: A9; Namazifar et al. 2023, arXiv 2302.08626.
    Breaks it: a softmax gradient without its row sum, a mask or a scale applied in one direction only.
    """
    check.not_under(subject.contract.formula.between, "a shift of all scores changes nothing")
    check.not_under(subject.contract.formula.capped, "a shift of all scores changes nothing")
    _, derivatives = differentiated(subject, case)
    if "key.bias" not in derivatives.observed:
        check.inapplicable("needs a bias of the key projection")
    gradient, required = derivatives.observed["key.bias"], derivatives.expected["key.bias"]
    # The oracle's own value is rounding, too: it is zero in exact arithmetic.
    check.agree("gradient of key.bias", (gradient, required.error), (np.zeros_like(gradient), np.zeros_like(gradient)))
