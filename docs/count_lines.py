"""Write into docs/reading-guide.md how many lines its files have.

A row of a table that ends in a number and begins with a link to a file gets that file's count.

Reads   docs/reading-guide.md and the files that its tables link to
Writes  docs/reading-guide.md
Run     python docs/count_lines.py
"""

import re
from pathlib import Path

GUIDE = Path(__file__).parent / "reading-guide.md"
ROW = re.compile(r"^(\| (?:\d+ \| )?\[[^]]*\]\(([^)#]+\.py)\) \|.* )(\d+)( \|)$", re.MULTILINE)


def counted(text: str, folder: Path) -> str:
    """The text of a guide with true counts; links are relative to `folder`."""

    def true_row(row: re.Match[str]) -> str:
        lines = len((folder / row[2]).read_text(encoding="utf-8").splitlines())
        return f"{row[1]}{lines}{row[4]}"

    return ROW.sub(true_row, text)


if __name__ == "__main__":
    GUIDE.write_text(counted(GUIDE.read_text(encoding="utf-8"), GUIDE.parent), encoding="utf-8")
