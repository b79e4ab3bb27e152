"""Which line is named: what was changed, what a change reaches, and none where the profile does not explain the difference."""

import pytest

from mhsa.bench.compare.attribution.attribute import Attribution, attribute, grouped
from mhsa.bench.compare.attribution.profile_record import CallProfile
from mhsa.bench.compare.attribution.words import details, entries
from tests.helpers.timed import line, profile, use

F64 = "float64[4, 4]"
BASE = profile(line(10, "q = f(x)", use("mm")), line(11, "s = q @ k", use("bmm", ms=2.0, made_by=(1,))), line(12, "return s"))


def named(found: Attribution) -> list[tuple[int, float]]:
    return [(one.line, round(one.share, 2)) for one in found.lines]


def test_a_new_line_has_all_that_it_costs() -> None:
    head = profile(
        line(20, "q = f(x)", use("mm")), line(21, "q = q.clone()", use("clone", 2, 0.5)),
        line(22, "s = q @ k", use("bmm", ms=2.0)), line(23, "return s"),
    )  # fmt: skip
    found = attribute(BASE, head, "seconds", 0.5e-3)
    assert named(found) == [(21, 1.0)]
    assert found.lines[0].reasons == ("+2 aten::clone",)


def test_a_changed_line_has_only_what_it_costs_more_than_the_one_before() -> None:
    head = profile(
        line(10, "q = f(x)", use("mm")), line(11, "s = (q @ k).clone()", use("bmm", ms=2.0), use("clone", ms=0.3)),
        line(12, "return s"),
    )  # fmt: skip
    found = attribute(BASE, head, "seconds", 0.4e-3)
    assert named(found) == [(11, 0.75)]
    assert found.lines[0].instead == "s = q @ k"
    assert found.lines[0].reasons == ("+1 aten::clone",)
    assert details(found.lines[0]) == ["+1 aten::clone; at base: s = q @ k"]


def test_an_operator_that_is_called_as_often_on_the_same_makes_no_difference() -> None:
    head = profile(
        line(10, "q = f(x)", use("mm")), line(11, "s = (q @ k).clone()", use("bmm", ms=9.0), use("clone", ms=0.3)),
        line(12, "return s"),
    )  # fmt: skip
    assert named(attribute(BASE, head, "seconds", 0.3e-3)) == [(11, 1.0)]
    wider = profile(BASE.lines[1], line(11, "s = q @ k.double()", use("bmm", ms=9.0, form=F64)))
    (other,) = attribute(BASE, wider, "seconds", 7e-3).lines
    assert (other.line, other.reasons) == (11, ("aten::bmm takes 7.00 ms longer",))


def test_code_that_moved_into_a_function_costs_no_more() -> None:
    head = profile(
        line(10, "q = f(x)", use("mm")), line(11, "s = scores(q, k)"), line(30, "return q @ k", use("bmm", ms=2.0), parent=2),
        line(12, "return s", use("add", ms=0.7)),
    )  # fmt: skip
    assert named(attribute(BASE, head, "seconds", 0.7e-3)) == [(12, 1.0)]


def test_a_line_that_does_the_same_is_no_reason_whatever_the_clock_says() -> None:
    head = profile(
        line(10, "q = f(x)", use("mm", ms=1.4)), line(11, "s = q @ k", use("bmm", ms=2.0)),
        line(12, "return s", use("add", ms=0.3)),
    )  # fmt: skip
    found = attribute(BASE, head, "seconds", 0.4e-3)
    assert named(found) == [(12, 0.75)]
    nothing = attribute(BASE, profile(*head.lines[1:3], BASE.lines[3]), "seconds", 0.4e-3)
    assert nothing.lines == ()
    assert nothing.problem == (
        "the profile does not explain it: lines that do something else than at base account for 0% of 400 us"
    )


def test_a_line_with_another_name_does_the_same() -> None:
    head = profile(
        line(10, "q = f(x)", use("mm")), line(11, "t = q @ k", use("bmm", ms=2.9)), line(12, "return t", use("add", ms=0.5))
    )  # fmt: skip
    assert [n for n, _ in named(attribute(BASE, head, "seconds", 0.6e-3))] == [12]


def test_what_grows_clearly_is_named_where_nothing_else_explains_it() -> None:
    base = profile(line(5, "for x in self.all: total += x", python=1.0, noise=0.01), line(6, "return total", python=0.1))
    head = profile(line(5, "for x in self.all: total += x", python=9.0, noise=0.01), line(6, "return total", python=0.1))
    found = attribute(base, head, "seconds", 8e-3)
    assert named(found) == [(5, 1.0)]
    assert found.lines[0].reasons[0] == "it does the same as at base, and takes longer"


def test_a_line_is_reached_by_the_one_that_made_what_it_is_given() -> None:
    head = profile(
        line(10, "q = f(x)", use("mm")), line(11, "q = q.double()", use("_to_copy", ms=0.1, made_by=(1,))),
        line(12, "s = q @ k", use("bmm", ms=5.0, form=F64, made_by=(2,))), line(13, "return s"),
    )  # fmt: skip
    found = attribute(BASE, head, "seconds", 3.1e-3)
    assert named(found) == [(11, 1.0)]
    assert found.lines[0].reaches == (("att.py:12", "aten::bmm takes 3.00 ms longer: on float64[4, 4]"),)


def test_a_line_that_is_gone_can_be_the_reason() -> None:
    strided = "float32[4, 4] with strides [1, 4]"
    base = profile(line(9, "q = q.contiguous()", use("clone", ms=0.1)), line(11, "s = q @ k", use("bmm", made_by=(1,))))
    head = profile(line(10, "s = q @ k", use("bmm", ms=3.0, form=strided)))
    found = attribute(base, head, "seconds", 1.9e-3)
    assert [(one.line, one.gone, one.where) for one in found.lines] == [(9, True, "att.py:9 at base, which head does not have")]


def test_a_loop_around_a_line_is_the_reason_that_it_runs_more_often() -> None:
    head = profile(
        line(10, "q = f(x)", use("mm")), line(11, "for _ in range(3):", hits=4),
        line(12, "s = q @ k", use("bmm", 3, 6.0, made_by=(1,)), hits=3, around=(11,)), line(13, "return s"),
    )  # fmt: skip
    found = attribute(BASE, head, "seconds", 4e-3)
    assert named(found) == [(11, 1.0)]
    assert found.lines[0].reaches == (("att.py:12", "+2 aten::bmm"),)
    assert found.lines[0].reasons == ("att.py:12 is executed 3 times through it, not 1",)


def test_a_line_that_does_no_more_itself_is_named_with_a_reason() -> None:
    given = profile(
        line(10, "q = h(x)", use("mm", form=F64)),
        line(11, "s = q @ k", use("bmm", ms=5.0, form=F64, made_by=(1,))),
        line(12, "return s"),
    )
    found = attribute(BASE, given, "seconds", 3e-3)
    assert named(found) == [(10, 1.0)]
    assert found.lines[0].reasons == ("other lines take more through it",)
    strided = "float32[4, 4] with strides [1, 4]"
    base = profile(line(9, "q = q.contiguous()", use("clone", ms=0.1)), line(11, "s = q @ k", use("bmm", made_by=(1,))))
    gone = attribute(base, profile(line(10, "s = q @ k", use("bmm", ms=3.0, form=strided))), "seconds", 1.9e-3)
    assert gone.lines[0].reasons == ("other lines take more through it",)
    names = ("add", "mul", "sub", "div")
    before = profile(*BASE.lines[1:3], line(12, "s = e(s)", *(use(name, ms=0.0) for name in names)))
    after = profile(*BASE.lines[1:3], line(12, "s = h(s)", *(use(name, ms=0.0009, form=F64) for name in names)))
    parts = attribute(before, after, "seconds", 3.6e-6)
    assert parts.lines[0].reasons == ("3.60 us in many small parts",)
    assert all(reason for one in (found, gone, parts) for each in one.lines for reason in each.reasons)


def test_a_call_more_is_the_reason_for_the_lines_of_the_function() -> None:
    inside = line(30, "return x.exp()", use("exp"), parent=1, function="helper")
    base = profile(line(10, "a = helper(x)"), inside, line(11, "return a"))
    more = line(30, "return x.exp()", use("exp"), parent=3, function="helper")
    head = profile(line(10, "a = helper(x)"), inside, line(11, "b = helper(a)"), more, line(12, "return a"))
    assert named(attribute(base, head, "seconds", 1e-3)) == [(11, 1.0)]


def test_python_is_told_from_operators() -> None:
    head = profile(*BASE.lines[1:3], line(12, "sum(range(n))", python=2.0), line(13, "return s"))
    assert attribute(BASE, head, "seconds", 2e-3).lines[0].reasons == ("2.00 ms outside of operators",)


def test_operators_and_bytes_are_counted() -> None:
    head = profile(*BASE.lines[1:3], line(12, "s = s.clone()", use("clone", 3, 0.0, bytes=2**20)), line(13, "return s"))
    operators, memory = attribute(BASE, head, "calls"), attribute(BASE, head, "bytes")
    assert (operators.total, named(operators)) == (3, [(12, 1.0)])
    assert (memory.total, named(memory), memory.lines[0].reasons) == (2**20, [(12, 1.0)], ("+3 aten::clone",))
    assert attribute(head, BASE, "bytes").problem == "the profile shows no more bytes of results at head"


@pytest.mark.parametrize("empty", [profile(), CallProfile(1.0, profile().lines)])
def test_a_subject_without_lines_has_none_that_is_named(empty: CallProfile) -> None:
    found = attribute(empty, empty, "seconds", 1e-3)
    assert (found.lines, found.problem[:33]) == ((), "the profile does not explain it: ")


def test_many_benchmarks_share_what_is_said() -> None:
    head = profile(*BASE.lines[1:3], line(12, "sum(range(n))", python=2.0), line(13, "return s"))
    first, second = (attribute(BASE, head, "seconds", total) for total in (2e-3, 4e-3))
    nothing = Attribution("seconds", 1.0, problem="it died")
    every = [("a", first), ("b", second), ("c", nothing), ("d", nothing)]
    assert entries(every) == [
        ("att.py:12  sum(range(n))", ["50% to 100% of the difference in 2 benchmarks", "2.00 ms outside of operators"]),
        ("2 benchmarks", ["it died"]),
    ]
    assert [len(shares) for _, shares in grouped(every)] == [2]
    assert entries(every[:1])[0][1][0] == "100% of the difference"
