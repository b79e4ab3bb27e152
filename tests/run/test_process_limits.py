"""What a process that measures does with its memory."""

import subprocess
import sys

import pytest

# Pages that the kernel had to clear in ten uses of 64 MiB, after a first one.
USES = """
import resource

from mhsa.run.process_limits import keep_memory

if {keep}:
    keep_memory()
held = b"x" * 2**26
del held
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    held = b"x" * 2**26
    del held
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc is what is asked")
def test_memory_that_is_kept_is_not_cleared_again() -> None:
    given_back, kept = (
        int(subprocess.run([sys.executable, "-c", USES.format(keep=keep)], capture_output=True, text=True, check=True).stdout)
        for keep in (False, True)
    )
    assert given_back > 300  # 16,384 pages a time, or 32 large ones
    assert kept < 10
