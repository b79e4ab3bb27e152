"""Where things are: tests name files of the repository by ROOT, and modules that are judged by CORPUS."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests" / "corpus"
