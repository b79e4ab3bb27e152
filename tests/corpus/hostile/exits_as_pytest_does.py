"""Ends the process, when it is imported, with the exit code of a pytest that was called wrongly."""
import os

os._exit(4)
