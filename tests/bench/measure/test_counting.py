"""Counters against what can be computed by hand: operators, flops and bytes of calls that are known to the last one."""

import gc
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import linear, scaled_dot_product_attention

from mhsa.bench.measure.callgrind import CannotCount, instructions
from mhsa.bench.measure.counting import _is_kernel, count
from mhsa.bench.measure.measurement import Counters

FLOAT = 4  # bytes
N = 1000
ONES = torch.ones(N)


def on_cpu(call: Callable[[], object]) -> Counters:
    return count(call, "cpu")


def leaf(*size: int) -> torch.Tensor:
    return torch.ones(size, requires_grad=True)


class TestOperators:
    def test_one_more_is_one_more(self) -> None:
        assert on_cpu(lambda: torch.add(ONES, ONES)).operators == 1
        assert on_cpu(lambda: torch.add(torch.add(ONES, ONES), ONES)).operators == 2

    def test_the_backward_pass_counts(self) -> None:
        weight = leaf(N)
        assert on_cpu(lambda: torch.mul(weight, ONES).sum()).operators == 2
        # Of the sum: ones, which are expanded; of the product: one more; and what accumulates takes the gradient apart.
        assert on_cpu(lambda: torch.mul(weight, ONES).sum().backward()).operators == 6

    def test_what_is_made_of_others_counts_as_those_in_inference_mode_too(self) -> None:
        weight, x = torch.ones(4, 4), torch.ones(2, 4)
        with torch.inference_mode():
            inference = on_cpu(lambda: linear(x, weight))
        assert inference == on_cpu(lambda: linear(x, weight))
        assert inference.operators == 2  # the transpose and the product

    def test_what_torch_compile_made_is_still_compiled_afterwards(self) -> None:
        runs = []

        def backend(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
            return lambda *given: runs.append(1) or graph(*given)

        compiled = torch.compile(lambda x: torch.exp(x) + ONES, backend=backend)
        compiled(ONES)
        assert on_cpu(lambda: compiled(ONES)).operators == 2
        runs.clear()
        compiled(ONES)
        assert runs == [1]


class TestFlops:
    m, n, k = 5, 7, 3

    def test_of_a_linear_layer(self) -> None:
        x, weight, bias = torch.ones(self.m, self.k), leaf(self.n, self.k), leaf(self.n)
        forward = 2 * self.m * self.n * self.k
        assert on_cpu(lambda: linear(x, weight, bias)).flops == forward
        assert on_cpu(lambda: linear(x, weight, bias).sum().backward()).flops == 2 * forward  # and the gradient of weights
        with torch.inference_mode():
            assert on_cpu(lambda: linear(weight, weight)).flops == 2 * self.n * self.n * self.k

    @pytest.mark.parametrize("causal", [False, True])
    def test_of_attention_that_is_one_kernel(self, causal: bool) -> None:
        batch, head, length, keys, d_k = 2, 3, 8, 8, 16
        query, key = leaf(batch, head, length, d_k), leaf(batch, head, keys, d_k)
        product = 2 * batch * head * length * keys * d_k

        def attention() -> torch.Tensor:
            return scaled_dot_product_attention(query, key, key, is_causal=causal)

        assert on_cpu(attention).flops == 2 * product
        assert on_cpu(lambda: attention().sum().backward()).flops == (2 + 5) * product
        with sdpa_kernel(SDPBackend.MATH):  # the same, of products that torch counts by itself
            assert on_cpu(attention).flops == 2 * product
            assert on_cpu(lambda: attention().sum().backward()).flops == (2 + 4) * product

    def test_of_keys_that_are_more_than_the_queries(self) -> None:
        query, key = torch.ones(1, 2, 4, 8), torch.ones(1, 2, 12, 8)
        assert on_cpu(lambda: scaled_dot_product_attention(query, key, key)).flops == 2 * 2 * 2 * 4 * 12 * 8

    def test_of_torchs_own_module_either_way_through(self) -> None:
        batch, length, width = 2, 8, 16
        module, x = torch.nn.MultiheadAttention(width, 4, batch_first=True), torch.ones(batch, length, width)

        def forward() -> object:
            with torch.no_grad():
                return module(x, x, x, need_weights=False)

        slow = on_cpu(forward)
        module.eval()
        fast = on_cpu(forward)
        assert fast.operators == 1 != slow.operators
        assert fast.flops == slow.flops == 2 * batch * (4 * length * width**2 + 2 * length**2 * width)

    def test_of_an_operator_that_torch_does_not_know_are_unknown(self) -> None:
        library = torch.library.Library("mhsa_counting", "DEF")
        library.define("product(Tensor x) -> Tensor")
        library.impl("product", lambda x: x @ x, "CPU")
        found = on_cpu(lambda: torch.ops.mhsa_counting.product(torch.ones(4, 4)))
        assert (found.flops, found.operators) == (None, 2)
        assert found.allocated

    def test_of_a_subclass_are_unknown(self) -> None:
        nested = torch.nested.nested_tensor([torch.ones(3, 4), torch.ones(2, 4)], layout=torch.jagged)
        found = on_cpu(lambda: linear(nested, torch.ones(4, 4)))
        assert found.flops is None
        assert found.operators


class TestBytes:
    def test_one_more_tensor_is_its_bytes_more(self) -> None:
        one = on_cpu(lambda: torch.add(ONES, ONES))
        two = on_cpu(lambda: torch.add(torch.add(ONES, ONES), ONES))
        assert (one.allocated, one.peak) == (N * FLOAT, N * FLOAT)
        assert (two.allocated, two.peak) == (2 * N * FLOAT, 2 * N * FLOAT)

    def test_what_was_freed_counts_as_allocated_and_not_in_the_peak(self) -> None:
        def call() -> None:
            for _ in range(3):
                torch.add(ONES, ONES)

        assert on_cpu(call) == Counters(operators=3, flops=0, allocated=3 * N * FLOAT, peak=N * FLOAT)

    def test_the_peak_of_scores_that_are_all_there_is_quadratic(self) -> None:
        def peak(length: int) -> int | None:
            query = torch.ones(length, 16)
            return on_cpu(lambda: torch.softmax(query @ query.T, -1)).peak

        assert peak(64) == 2 * 64**2 * FLOAT
        assert peak(128) == 4 * 2 * 64**2 * FLOAT

    def test_gradients_are_in_the_peak(self) -> None:
        weight = leaf(N)
        found = on_cpu(lambda: torch.mul(weight, ONES).sum().backward())
        assert found.allocated == 2 * N * FLOAT + 2 * FLOAT  # the product and the gradient; the sum and its own
        assert N * FLOAT < found.peak < 2 * N * FLOAT  # the product is gone by the time of the gradient

    def test_what_a_module_keeps_is_freed_when_it_is_replaced(self, capfd: pytest.CaptureFixture[str]) -> None:
        kept = {}

        def call() -> None:
            kept.clear()
            kept["weights"] = torch.add(ONES, ONES)

        found = on_cpu(call)
        assert (found.allocated, found.peak) == (N * FLOAT, 0)
        assert capfd.readouterr() == ("", "")  # torch complains of blocks whose size it does not know

    def test_cycles_are_not_collected_in_the_middle(self) -> None:
        def call() -> None:
            for _ in range(2 * gc.get_threshold()[0]):
                cycle: list[object] = []
                cycle.append(cycle)
            holder: list[object] = [torch.add(ONES, ONES)]
            holder.append(holder)

        assert on_cpu(call).peak == N * FLOAT
        assert gc.isenabled()

    def test_three_runs_agree(self) -> None:
        module, x = torch.nn.MultiheadAttention(32, 4, dropout=0.5, batch_first=True), torch.rand(2, 16, 32)

        def training() -> object:
            module.zero_grad()
            result = module(x, x, x)[0]
            result.sum().backward()
            return result

        first, second, third = (on_cpu(training) for _ in range(3))
        assert first == second == third
        assert all((first.operators, first.flops, first.allocated, first.peak))


class TestNothingIsLeftBehind:
    def test_gradients_stay_as_they_were(self) -> None:
        without, given = leaf(N), leaf(N)
        gradient = torch.full((N,), 3.0)
        given.grad = gradient
        found = on_cpu(lambda: torch.mul(without, given).sum().backward())
        assert without.grad is None
        assert given.grad is gradient
        assert gradient.eq(3.0).all()
        given.grad = None
        assert on_cpu(lambda: torch.mul(without, given).sum().backward()) == found

    def test_random_numbers_go_on_where_they_were(self) -> None:
        drawn = []
        torch.manual_seed(7)
        expected = torch.rand(3)
        torch.manual_seed(7)
        on_cpu(lambda: drawn.append(torch.rand(3)))
        assert len(drawn) == 4  # as it is, under the dispatcher's mode, and twice under the profiler
        assert all(torch.equal(numbers, expected) for numbers in (*drawn, torch.rand(3)))

    def test_nothing_is_printed_and_the_stream_is_there_afterwards(self, capfd: pytest.CaptureFixture[str]) -> None:
        on_cpu(lambda: torch.add(ONES, ONES))
        assert capfd.readouterr() == ("", "")
        os.write(2, b"one ")
        print("two", file=sys.stderr)
        assert capfd.readouterr().err == "one two\n"

    def test_no_mode_and_no_profiler_is_left_active(self) -> None:
        def under_the_second() -> None:
            calls.append(1)
            if len(calls) == failing:
                raise ArithmeticError

        for failing in (2, 3, 4, 0):
            calls: list[int] = []
            found = on_cpu(under_the_second)
            assert (found.operators is None) == (failing == 2)
            assert (found.peak is None) == (failing in (3, 4))
            assert torch._C._len_torch_dispatch_stack() == 0
            assert not torch.autograd._profiler_enabled()
            assert gc.isenabled()


def test_an_error_of_the_call_is_raised_and_gradients_are_put_back() -> None:
    weight = leaf(N)
    weight.grad = ONES

    def call() -> None:
        weight.sum().backward()
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        on_cpu(call)
    assert weight.grad is ONES


def test_a_lazy_parameter_elsewhere_does_no_harm() -> None:
    module = torch.nn.LazyLinear(3)
    assert on_cpu(lambda: torch.add(ONES, ONES)).operators == 1
    assert module.has_uninitialized_params()


def test_on_other_devices_bytes_are_unknown() -> None:
    x = torch.ones(4, device="meta")
    assert count(lambda: x + x, "meta") == Counters(operators=1, flops=0)


class TestOnAGpu:
    class Event:
        def __init__(self, name: str, kind: str | None = None, annotation: bool = False) -> None:
            self.name, self.is_user_annotation = lambda: name, lambda: annotation
            if kind is not None:
                self.activity_type = lambda: kind

    def test_kernels_are_told_from_the_rest(self) -> None:
        events = [("void at::native::elementwise", "kernel"), ("Memcpy HtoD", "gpu_memcpy"), ("Memset", "gpu_memset")]
        assert [_is_kernel(self.Event(*event)) for event in events] == [True, False, False]
        assert [_is_kernel(self.Event(name)) for name, _ in events] == [True, False, False]
        assert not _is_kernel(self.Event("mark", annotation=True))
        assert not _is_kernel(self.Event("[memory]"))  # so torch 2.11 tells of an allocation on an H200

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
    def test_kernels_and_bytes_are_counted(self) -> None:
        x = torch.ones(1024, device="cuda")  # 4096 bytes, a multiple of the 512 that the allocator rounds up to
        one, two = (count(call, "cuda") for call in (lambda: x + x, lambda: x + x + x))
        assert (one.kernels, one.allocated, one.peak) == (1, 4096, 4096)
        assert (two.kernels, two.allocated, two.peak) == (2, 8192, 8192)


class TestInstructions:
    def test_without_valgrind_it_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(CannotCount, match=r"valgrind, callgrind_control, callgrind_annotate is not .*apt-get install"):
            instructions("", "pass", number=1)

    @pytest.mark.skipif(not os.environ.get("MHSA_TEST_VALGRIND"), reason="takes a minute; MHSA_TEST_VALGRIND=1 runs it")
    def test_they_are_those_of_one_execution(self) -> None:
        found = instructions("numbers = range(1000)", "sum(numbers)", number=10)
        assert found is not None
        assert 10_000 < found < 500_000  # some tens to some hundreds for each number

    @pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
    def test_when_valgrind_fails_they_are_unknown(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "valgrind").write_text(
            f'#!/bin/sh\necho "$PYTHONHASHSEED" "$(command -v python)" > {tmp_path}/seen\nexit 1\n'
        )
        (tmp_path / "valgrind").chmod(0o755)
        path = f"{tmp_path}{os.pathsep}{os.defpath}"
        monkeypatch.setenv("PATH", path)
        monkeypatch.delenv("PYTHONHASHSEED", raising=False)
        assert instructions("", "pass", number=1) is None
        # What makes two counts the same, and a python that is this one wherever the shell was.
        assert (tmp_path / "seen").read_text().split() == ["0", str(Path(sys.executable).parent / "python")]
        assert os.environ["PATH"] == path
        assert "PYTHONHASHSEED" not in os.environ
        with pytest.raises(ZeroDivisionError):
            instructions("", "1 / 0", number=1)

    def test_a_number_of_none_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            instructions("", "pass", number=0)
