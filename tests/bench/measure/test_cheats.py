"""A corpus of modules that would be timed as fast: none is, and each is named for what it does."""

import json
from pathlib import Path

import pytest
import torch

from mhsa.commands.cli import main
from tests.helpers.places import CORPUS

CHEATS = CORPUS / "cheats"
SHAPE = "4x128x8x256"

# The pass in which it cheats, the outcome there, and words of the reason. None of these is what a noisy machine could say.
KINDS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "cache_kept_warm": (("forward", "training"), "suspect", "a thread or process goes on working"),
    "computed_in_a_thread": (("forward",), "", "running when it returns"),
    "garbage_after_some_calls": (("forward",), "wrong", "it was right before it was timed"),
    "half_precision_inside": (("forward", "training"), "wrong", "it computes in bfloat16 inside"),
    "idle_while_timed": (("forward", "training"), "wrong", "in a call that was timed; it was right before it was timed"),
    "input_changed_for_the_next_call": (("forward",), "suspect", "a call writes into its input"),
    "lazy_subclass": (("forward",), "suspect", "a call gives Lazy, a subclass of Tensor: its numbers may be computed later"),
    "leaves_processes": (("forward",), "suspect", "a call leaves a process running when it returns"),
    "memoized_by_pointer": (("forward",), "", "an answer that it has kept, though other numbers are in the same memory"),
    "memoized_by_value": (("forward",), "suspect", "it keeps its answers: a call with tensors that it has seen makes"),
    "memoized_by_version": (("forward",), "suspect", "it keeps its answers: a call with tensors that it has seen makes"),
    "other_stream": (("forward",), "suspect", "a call computes on another stream"),
    "patched_timer": (("forward", "training"), "suspect", "it has replaced time.perf_counter, which times are taken with"),
    "right_at_small_sizes": (("forward", "training"), "wrong", "it is right at 16 tokens, and not at the 128"),
    "slows_others": (("forward", "training"), "suspect", "it has replaced torch.nn.functional.scaled_dot_product_attention"),
    "stale_output_buffer": (("forward",), "suspect", "it gives the same memory out in every call"),
    "wrong_in_training_only": (("training",), "wrong", "gradient of x where each query picks its own key"),
    "zero_without_autograd": (("forward",), "wrong", "every number of its output is 0 without autograd"),
}


def test_every_module_of_the_corpus_is_here() -> None:
    assert sorted(KINDS) == sorted(path.stem for path in CHEATS.glob("[!_]*.py"))
    assert len(KINDS) >= 14


@pytest.mark.parametrize("name", KINDS)
def test_it_is_never_timed_and_named(name: str, tmp_path: Path) -> None:
    if name == "other_stream" and not torch.cuda.is_available():
        pytest.skip("there is no GPU, which has other streams")
    device = ["--device", "cuda"] if name == "other_stream" else []
    report = tmp_path / "report.json"
    options = ["--shape", SHAPE, "--against", "", "--budget", "0.05", "--json", str(report), "--no-color", *device]
    code = main(["bench", str(CHEATS / f"{name}.py"), *options])
    passes, outcome, words = KINDS[name]
    found = [m for m in json.loads(report.read_text())["measurements"] if m["implementation"] != "baseline"]
    assert code == 1
    assert {m["passes"] for m in found} == {"forward", "training"}
    for m in found:
        if m["passes"] in passes:
            assert m["outcome"] in ((outcome,) if outcome else ("wrong", "suspect"))
            assert words in m["reason"]
            assert (m["seconds"], m["ratio"]) == (None, None)
        else:  # where it does not cheat, it is timed as any other
            assert m["outcome"] == "measured", m["reason"]
            assert m["ratio"] > 0.6
