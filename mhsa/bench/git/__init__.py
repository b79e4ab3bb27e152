"""Commits of the user's repository: checked out as folders, and loaded in one process."""
