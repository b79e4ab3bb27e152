"""Known bugs: variants of the reference with exactly one mistake each, and variants that are right all the same.

One file per kind of bug. A class whose docstring has a ``Formula`` and a ``Census`` line is a mutant, found by
:mod:`mhsa.bugs.mutants.registry`; nothing else registers it.
"""
