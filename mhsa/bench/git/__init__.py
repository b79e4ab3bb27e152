"""Commits of the user's repository: where they lie as folders, and how their modules are loaded beside each other."""
