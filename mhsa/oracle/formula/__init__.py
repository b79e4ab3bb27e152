"""What attention computes beside the plain formula, one file per feature."""
