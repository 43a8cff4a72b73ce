"""Tables of cases: a fixed part of each by default, all of them with SEAL_FAULTS=all."""

import os
from collections.abc import Sequence
from typing import TypeVar

from seal.errors import UserError

Case = TypeVar("Case")
EVERYTHING = os.environ.get("SEAL_FAULTS") == "all"


def chosen(cases: Sequence[Case], one_of: int) -> Sequence[Case]:
    """Every `one_of`-th case, or all."""
    return cases if EVERYTHING else cases[::one_of]


def line_of(error: UserError) -> str:
    """The message as programs print it: one line."""
    return " ".join(str(error).split())
