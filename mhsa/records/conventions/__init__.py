"""Conventions that a contract states: the values that each can have, and what is refused."""
