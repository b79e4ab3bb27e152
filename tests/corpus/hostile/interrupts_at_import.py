"""Pretends, when it is imported, that somebody pressed Ctrl-C."""
raise KeyboardInterrupt
