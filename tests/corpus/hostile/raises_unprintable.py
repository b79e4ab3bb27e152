"""Raises an error whose words act on a terminal and fit into no file."""
from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        raise ValueError("\x1b[2J\x00\ud800</script>&<b>]]>\u202e")
