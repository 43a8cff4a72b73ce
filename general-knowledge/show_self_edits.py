"""Show how self-edits about the invented world improve: their styles, and one example.

For each row of a table whose policy wrote self-edits: how often in which style, and how long. Then
a passage about which two policies wrote, and what was answered after training on either.

Reads   --table, the folder of an eval_single_passage.py, and the --passages that it was given
Writes  TABLE/styles.md
Run     python general-knowledge/show_self_edits.py --table runs/demo/knowledge/table \\
            --passages general-knowledge/small_model/evaluation.json
"""

from pathlib import Path

from knowledge.data.passages import load_passages
from seal.command_line.arguments import Settings, arg
from seal.command_line.program import run_program
from seal.errors import UserError
from seal.records import write_text


class Config(Settings):
    """Flags of show_self_edits.py."""

    table: Path = arg("run folder of a finished table")
    passages: str = arg("its passages, of the invented world; a file of SQuAD's layouts")
    compare: list[str] = arg("two rows for the example; default: the first and the last", [])


def main(config: Config) -> None:
    """Write and print the tables of styles and the example."""
    from knowledge.small_world import style_report as report

    passages = load_passages(config.passages)
    people = report.read_people(passages, config.passages)
    rows = report.read_rows(config.table, people)
    first, last = compared([row.label for row in rows], config.compare)
    lessons = {
        label: report.read_lessons(config.table / label, passages)
        for label in (report.BEFORE, first, last)
    }
    passage, place = report.find_example(passages, *lessons.values())
    of_passage = {label: of_row[passage.id] for label, of_row in lessons.items()}
    text = "\n\n".join(
        [
            report.format_styles(rows, people),
            f"Row {first}, by the style of its self-edits:",
            report.format_worth(lessons[first], people),
            report.format_example(passage, place, people[passage.id], of_passage),
        ]
    )
    write_text(config.table / "styles.md", text + "\n")
    print(text)


def compared(labels: list[str], wanted: list[str]) -> tuple[str, str]:
    """The rows of the example. Raises UserError unless none or two that exist are wanted."""
    if len(wanted) not in (0, 2):
        raise UserError(f"--compare {' '.join(wanted)}: give two rows, the earlier policy first")
    if unknown := [label for label in wanted if label not in labels]:
        raise UserError(
            f"--compare {unknown[0]}: no row of the table has self-edits under this label; there"
            f" are {', '.join(labels)}"
        )
    first, last = wanted or (labels[0], labels[-1])
    return first, last


if __name__ == "__main__":
    run_program(main, Config)
