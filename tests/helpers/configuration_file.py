"""A pyproject.toml that configures everything, and how one is written."""

from pathlib import Path

GOOD = """
[project]
name = "somebody"

[tool.mhsa]
profile = "ci"
seed = 7
dtypes = ["float32"]
strict = true
timeout = 90
memory = "1.5 GiB"
cases = "found"
database = "examples"

[tool.mhsa.subjects]
short = "models.layers:Attention"

[tool.mhsa.subjects.biasless]
subject = "src/attention.py:Attention"
arguments = { bias = false, num_heads = 3, d_model = 6 }
contract = { fully_masked_row = "zeros", shape_mismatch = "raises" }
dtypes = ["float64", "bfloat16"]
device = "cuda:0"
profile = "quick"
seed = 1
expected_failures = [
  { property = "masks.masking_is_deleting", reason = " padding is ignored ", link = "https://example.org/12" },
  { property = "gradients.*" },
]

[tool.mhsa.subjects.layer0]
build = "models.encoder:build"
submodule = "layers.0.attention"

[[tool.mhsa.subjects.layer0.expected_failures]]
property = "oracle.output_under_masks"
reason = "one"

[[tool.mhsa.subjects.layer0.expected_failures]]
property = "weights.*"
reason = "two"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "pyproject.toml"
    path.write_text(text, encoding="utf-8")
    return path
