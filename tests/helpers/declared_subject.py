"""A configured subject, and files in which it stands."""

from pathlib import Path

ONE, TWO = "oracle.output_without_mask", "masks.masking_is_deleting"
DECLARED = '[tool.mhsa.subjects.mine]\nsubject = "m:A"\n'


def configure(text: str) -> None:
    Path("pyproject.toml").write_text(text)


KEPT = """# first of all
[project]  # who
name = "x"

[tool.mhsa]
seed = 3  # lucky
# strict = true

[tool.mhsa.subjects]
zeta = "z:Z"     # the last letter
mine = "m:A"     # ours
alpha = { subject = "a:A" }

[tool.ruff]
line-length = 100
"""
