"""How long a verdict takes: ``make time`` runs ``mhsa verify`` on the reference as a user would and prints what it took."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TARGETS = {"quick": 10.0, "ci": 45.0}  # seconds of wall time on two quiet cores, imports included


def measure(profile: str) -> tuple[float, int, float]:
    """Return wall time in seconds, cases, and seconds inside the properties."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "mhsa", "verify", "--profile", profile, "--json", str(report)],
            check=True,
            capture_output=True,
        )
        wall = time.perf_counter() - start
        properties = json.loads(report.read_text())["subjects"][0]["properties"]
    return wall, sum(p["cases"] for p in properties), sum(p["seconds"] for p in properties)


def main() -> None:
    """Print a line per profile."""
    print(f"{'profile':<8} {'wall':>7} {'target':>7} {'cases':>6} {'ms/case':>8} {'start-up':>9}")
    for profile, target in TARGETS.items():
        wall, cases, inside = measure(profile)
        print(f"{profile:<8} {wall:>6.1f}s {target:>6.0f}s {cases:>6} {1000 * inside / cases:>8.1f} {wall - inside:>8.1f}s")


if __name__ == "__main__":
    main()
