"""The release's draws of translations, for RandomTranslateXY with its bugs."""

from random import Random
from typing import Self

import numpy


class ReleaseRandom(Random):
    """Copies draw as the release does in golden A2 and A4: numpy's old generator with seed 0."""

    def __copy__(self) -> "_Draws":
        return _Draws()


class _Draws:
    def __init__(self) -> None:
        self._generator = numpy.random.RandomState(0)

    def __copy__(self) -> Self:
        return self

    def randrange(self, stop: int) -> int:
        return int(self._generator.randint(0, stop))
