"""The reading guide's counts of lines are about true: readers plan their time by them."""

import importlib.util

from tests.support.data import REPOSITORY

GUIDE = REPOSITORY / "docs/reading-guide.md"
TOLERANCE = 0.15


def load_counter():
    spec = importlib.util.spec_from_file_location("count_lines", REPOSITORY / "docs/count_lines.py")
    counter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(counter)
    return counter


def test_counts_are_about_true():
    counter = load_counter()
    text = GUIDE.read_text()
    shown = counter.ROW.findall(text)
    true = counter.ROW.findall(counter.counted(text, GUIDE.parent))
    assert len(shown) == 10
    off = [
        file
        for (_, file, said, _), (_, _, lines, _) in zip(shown, true, strict=True)
        if abs(int(said) - int(lines)) > TOLERANCE * int(lines)
    ]
    assert off == [], "run python docs/count_lines.py"
