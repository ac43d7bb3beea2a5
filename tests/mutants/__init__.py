"""Faults to put into copies of the package, one at a time: each promise has tests that notice when it's broken.

`python -m tests.mutants` tries them. Two kinds aren't here. That the documentation's code runs (19) is no promise of
the package's code. And some changes no caller could notice: where another origin has accepted a token that the caller's
own client took there, the first origin's count would remember one path more, which isn't its own; a pickled object that
didn't publish its token would find it among what it knows, with no call; deep copies may share that, too.
"""

from tests.mutants import from_1_to_6, from_7_to_12, from_13_to_18, of_keys, of_options, of_plugins, of_resources

__all__ = ["MUTANTS"]

MUTANTS = (
    *from_1_to_6.MUTANTS,
    *from_7_to_12.MUTANTS,
    *from_13_to_18.MUTANTS,
    *of_options.MUTANTS,
    *of_keys.MUTANTS,
    *of_plugins.MUTANTS,
    *of_resources.MUTANTS,
)
