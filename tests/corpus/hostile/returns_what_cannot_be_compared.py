"""Returns an object that does not even say whether it is equal to another."""
from _right import Attention as Right


class Touchy:
    def __eq__(self, other):
        raise TypeError("leave me alone")

    __ne__ = __bool__ = __len__ = __iter__ = __repr__ = __hash__ = __eq__


class Attention(Right):
    def result(self, output):
        return Touchy()
