"""Why head takes more than base: which lines and operators make the difference."""
