"""How long a reading takes: ``python -m benchmarks.reading`` reads subjects where torch is imported, and prints a line each.

The bars hold on a quiet core: 1.5 s where names suffice, 4 s where alternatives are tried (where none fits, all of them are),
3 s for ``mhsa probe`` from its start to its end. Seconds of CPU do not grow with what else the machine does; the wall's do.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

CORPUS = Path(__file__).resolve().parent.parent / "tests" / "corpus"
NAMED, TRIED, PROBE = 1.5, 4.0, 3.0  # seconds
# What is read, and whether names suffice.
SUBJECTS = {
    "mhsa:MultiHeadAttention": True,
    "right/d2l.py": True,
    "right/packed_projection.py": True,
    "right/plain_function.py": True,
    "right/additive_mask.py": False,
    "foreign/nanogpt_always_causal.py": False,  # a question
    "foreign/rearrange_d_h.py": False,  # no layout, no order of heads fits
    "wrong/polarity_inverted.py": False,  # a question
    "wrong/mask_unsqueeze_0.py": False,  # a question
    "wrong/no_scale.py": False,  # nothing fits, with a mask
    "wrong/unscaled_fill.py": False,  # no form of a mask fits
}


def named(subject: str) -> str:
    """Return the subject as it is typed."""
    return subject if ":" in subject else str(CORPUS / subject)


def seconds(subject: str) -> tuple[float, float]:
    """Return the seconds of CPU and of the wall that reading takes, in a child of this process, with what it has imported."""
    started, before = time.perf_counter(), os.times()
    child = os.fork()
    if not child:
        from mhsa.introspect.resolve import understand
        from mhsa.records.errors import SubjectError

        try:
            understand(named(subject))
        except SubjectError:
            os._exit(2)
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    wall, after = time.perf_counter() - started, os.times()
    if os.waitstatus_to_exitcode(status) not in (0, 2):
        raise SystemExit(f"{subject} cannot be read")
    return after.children_user + after.children_system - before.children_user - before.children_system, wall


def probed(subject: str) -> tuple[float, float]:
    """Return the seconds of CPU and of the wall that the command takes."""
    started, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-m", "mhsa", "probe", named(subject)], check=False, capture_output=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return used, time.perf_counter() - started


def main() -> int:
    """Print a line for each subject; return 1 if a bar is missed in seconds of CPU."""
    import torch

    import mhsa.introspect.resolve  # noqa: F401  the children have it, as the judge does

    torch.set_num_threads(1)
    missed = 0
    print(f"{'subject':<36} {'read by':<13} {'CPU':>7} {'wall':>7} {'bar':>6}")
    rows = [
        (s, "names" if by_name else "alternatives", NAMED if by_name else TRIED, seconds(s)) for s, by_name in SUBJECTS.items()
    ]
    rows.append(("right/packed_projection.py", "mhsa probe", PROBE, probed("right/packed_projection.py")))
    for subject, how, bar, (used, wall) in rows:
        over = used > bar
        missed += over
        print(f"{subject:<36} {how:<13} {used:>6.2f}s {wall:>6.2f}s {bar:>5.1f}s{'  missed' if over else ''}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
