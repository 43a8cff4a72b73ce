"""Grade, or grade again, any file of closed-book answers (paper, section 4.1).

A killed run resumes with the same command; rows that could not be graded are then asked again. The
output file grows while rows are graded and ends in the order of the input.

Reads   --input, one object a line: question, gold, answer and, if known, title; others are kept
Writes  --output, the same rows with verdict (true, false, null), probability and judge
Run     python general-knowledge/grade_answers.py --input answers.jsonl --output graded.jsonl
"""

import sys
from pathlib import Path

from tqdm import tqdm

from knowledge.judging.answer_files import (
    describe_grades,
    graded_row,
    grading_item,
    read_answers,
    read_grades,
    row_key,
)
from knowledge.judging.judges import ensure_graded, open_judge
from knowledge.settings import JudgeSettings
from seal.command_line.arguments import arg
from seal.command_line.program import run_program
from seal.errors import UserError
from seal.records import append_jsonl, write_jsonl

ROWS_AT_A_TIME = 256


class Config(JudgeSettings):
    """Flags of grade_answers.py."""

    input: Path = arg("JSONL file of answers")
    output: Path = arg("JSONL file of graded answers")


def main(config: Config) -> None:
    """Grade the rows that the output lacks; print how many are correct, blank and ungraded."""
    rows = read_answers(config.input)
    if config.output.resolve() == config.input.resolve():
        raise UserError(f"--output {config.output} is the input; name another file")
    judge = open_judge(config)
    grades = read_grades(config.output, rows, judge.name)
    pending = list({row_key(row): row for row in rows if row_key(row) not in grades}.values())
    seconds = 0.1 if sys.stderr.isatty() else 60
    with tqdm(total=len(pending), desc="grading", mininterval=seconds) as bar:
        for start in range(0, len(pending), ROWS_AT_A_TIME):
            some = pending[start : start + ROWS_AT_A_TIME]
            new = judge.grade(list(map(grading_item, some)))
            grades |= {row_key(row): grade for row, grade in zip(some, new, strict=True)}
            append_jsonl(
                config.output, *(graded_row(row, grades[row_key(row)], judge.name) for row in some)
            )
            bar.update(len(some))
    of_rows = [grades[row_key(row)] for row in rows]
    graded = [graded_row(*pair, judge.name) for pair in zip(rows, of_rows, strict=True)]
    write_jsonl(config.output, graded)
    print(describe_grades(graded))
    ensure_graded(of_rows, config.max_ungraded)


if __name__ == "__main__":
    run_program(main, Config)
