"""Fit the offline judge's constants to GPT-4.1's released verdicts (golden set G6).

Prints how far the judge agrees with GPT-4.1 on articles that it has not seen. Takes about a minute.

Reads   GOLDEN/g6_verdicts.jsonl.gz
Writes  --output, the constants and how far they agree
Run     python general-knowledge/fit_offline_judge.py --golden ../shared/golden \\
            --output general-knowledge/knowledge/judging/offline_judge.json
"""

from pathlib import Path

from knowledge.judging.judges import CONSTANTS
from seal.command_line.arguments import Settings, arg
from seal.command_line.program import run_program
from seal.records import to_json, write_json


class Config(Settings):
    """Flags of fit_offline_judge.py."""

    golden: Path = arg("folder of golden data")
    output: Path = arg("file to write; the default is the one that the judge reads", CONSTANTS)


def main(config: Config) -> None:
    """Fit, write, and print how far the judge agrees."""
    from knowledge.judging.fit_offline import fit_offline_judge, load_graded_answers

    constants = fit_offline_judge(load_graded_answers(config.golden))
    write_json(config.output, constants)
    print(to_json(constants["figures"], indent=2))


if __name__ == "__main__":
    run_program(main, Config)
