"""Where a constructor raises: what it lacks, if that is known, or the error with its file and line."""

from __future__ import annotations

from mhsa.introspect.adapter_sketch import question_text
from mhsa.records.errors import Question, SubjectError, describe
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.construction.how_to_state import how_to_state

# What torch says where there is no GPU, or where it is built without one.
_NO_GPU = ("CUDA enabled", "No CUDA GPUs", "NVIDIA driver", "CUDA driver")


GPU_IS_MISSING = (
    "There is no GPU. Where there is one: mhsa verify --device cuda. Or leave .cuda() and device='cuda' out of the module: "
    ".to(device) moves it"
)


def needs_a_gpu(error: BaseException | str) -> bool:
    """Whether an error says that a GPU is needed and missing."""
    return any(words in str(error) for words in _NO_GPU)


def failed_build(name: str, adapter: Adapter, sizes: tuple[int, int], error: Exception) -> SubjectError:
    """Return what is to be raised instead of an error of a constructor."""
    if needs_a_gpu(error):
        return Question(question_text(f"its constructor raises {describe(error)}. {GPU_IS_MISSING}"))
    missing = adapter.constructor.missing if isinstance(adapter, ModuleAdapter) and adapter.constructor is not None else []
    if missing:
        listed = " and ".join(missing)
        return Question(f"{name} reads {listed}, and mhsa does not know what to give. {how_to_state(missing[0])}")
    return SubjectError(f"{name} cannot be built with head={sizes[0]}, d_model={sizes[1]}: {describe(error)}")
