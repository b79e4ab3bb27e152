"""What a constructor must refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhsa import check
from mhsa.subject import Subject


@given(head=st.integers(2, 9), d_model=st.integers(1, 40))
def test_indivisible_width_is_refused(subject: Subject, head: int, d_model: int) -> None:
    """A width that cannot be divided among the heads is refused when the module is built.

    Statement: d_model % head != 0 implies that the constructor raises.
    Requires: a constructor of the subject's own that takes both numbers and not the width of a head.
    Source: Vaswani et al. 2017, section 3.2.2: d_k = d_model / h; the seed's assertion.
    Breaks it: d_model // head without a check, which loses features or mixes tokens in the first reshape.
    """
    if subject.refuses is None:
        pytest.skip("needs a constructor that takes head and d_model and nothing else that sets the width of a head")
    if d_model % head == 0:
        d_model += 1 if d_model % head + 1 < head else -1
    check.start_without_tensors({"head": head, "d_model": d_model, "words": f"head={head}, d_model={d_model}"})
    try:
        built = subject.refuses(head, d_model)
    except Exception:
        return
    check.fail(
        f"building with head={head}, d_model={d_model} gave a {type(built).__name__}, but must raise: "
        f"{d_model} % {head} = {d_model % head}",
        what="constructor",
    )
