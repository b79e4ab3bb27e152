"""How near right implementations come to the bounds: a page of docs from the JSON files of ``mhsa verify --json``.

``python benchmarks/alarms.py FILE.json... > docs/alarms.md``
"""

import json
import sys
from pathlib import Path

HEAD = """# False alarms

Implementations that are right, judged with many cases; every verdict is "holds". The table gives the worst error / bound of
each property that compares numbers, per dtype, over all of them: 1 would be an alarm. Made by

    for s in mhsa:MultiHeadAttention torch.nn:MultiheadAttention \\
             tests/corpus/right/sdpa_backends.py:plain tests/corpus/right/sdpa_backends.py:flash; do
      mhsa verify $s --profile thorough --seed 11 --json thorough-$((++i)).json
      mhsa verify $s --profile ci --seed 3 --dtype bfloat16 --dtype float16 --json half-$((++i)).json
    done
    for s in tests/corpus/right/*.py; do mhsa verify $s --profile ci --seed 3 --json ci-$((++i)).json; done
    python benchmarks/alarms.py *.json > docs/alarms.md

Properties that were written or changed after the thorough runs were run again for the same four, which are the shorter
thorough lines of the table:

    -k "test_dropout or two_threads or gradients_of or gradient_through or layout_of_the_incoming or repeating_one_key
        or nothing_around or masked_keys_receive"

(`sdpa_backends.py` is judged by its two functions, not as a file.) A thorough run takes some 25 minutes of one core.
"""
DTYPES = ("float64", "float32", "bfloat16", "float16")


def main(files: list[str]) -> int:
    """Print the page; 1 if some subject does not hold."""
    print(HEAD)
    print("| subject | profile | dtypes | seed | cases | verdict | declared deviations |\n|---|---|---|---|---|---|---|")
    worst: dict[str, dict[str, float]] = {}
    bad = 0
    for file in files:
        report = json.loads(Path(file).read_text())
        said = report["environment"]
        for subject in report["subjects"]:
            properties = subject["properties"]
            cases = sum(p["cases"] for p in properties)
            declared = sum(p["outcome"] == "expected-failure" for p in properties)
            name = subject["subject"].removeprefix("tests/corpus/right/")
            cells = (name, said["profile"], said["dtypes"], said["seed"], f"{cases:,}", subject["verdict"], declared)
            print(f"| {' | '.join(map(str, cells))} |")
            bad += subject["verdict"] != "holds"
            for p in properties:
                for dtype, ratio in p["worst_by_dtype"].items():
                    row = worst.setdefault(p["id"], {})
                    row[dtype] = max(ratio, row.get(dtype, 0.0))
    print(f"\n| property | {' | '.join(DTYPES)} |\n|---|{'---|' * len(DTYPES)}")
    for identity, row in worst.items():
        if any(dtype in row for dtype in DTYPES):
            print(f"| {identity} | {' | '.join(f'{row[d]:.2g}' if d in row else '' for d in DTYPES)} |")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
