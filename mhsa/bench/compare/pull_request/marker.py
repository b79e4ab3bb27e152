"""The line by which the workflow of ``mhsa init --ci`` finds the comment that it has written; nobody sees it."""

MARKER = "<!-- mhsa compare -->"
