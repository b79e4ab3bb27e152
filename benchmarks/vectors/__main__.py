"""Print how many of the peers' cases agree with the oracle, and the largest error/bound of each dtype."""

import argparse

from benchmarks.vectors import onnx_cases
from benchmarks.vectors.compared import table
from mhsa.oracle.precision import PRECISIONS


def main() -> int:
    """Return 0 if all agree."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vectors", description=__doc__)
    parser.add_argument("peers", nargs="*", default=["onnx", "torch"], metavar="onnx|torch", help="whose cases; default: both")
    peers = parser.parse_args().peers
    found = {}
    if "onnx" in peers:
        cases = onnx_cases.collect()
        for operator in ("Attention", "RotaryEmbedding"):
            found[f"onnx {operator}"] = [onnx_cases.compare(c) for c in cases if c.operator == operator]
    if "torch" in peers:
        from benchmarks.vectors import torch_samples

        found["torch scaled_dot_product_attention"] = [c for dtype in PRECISIONS for c in torch_samples.judged(dtype)]
    for peer, compared in found.items():
        print("\n".join(table(peer, compared)))
    return 0 if found and all(c.agrees for compared in found.values() for c in compared) else 1


if __name__ == "__main__":
    raise SystemExit(main())
