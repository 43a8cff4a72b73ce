"""Small folders with the layouts of the authors' release, made up."""

import json
import random
from pathlib import Path
from typing import Any

from knowledge.method.round_statistics import (
    Repetition,
    rounded,
    summarize_article,
    summarize_completion,
    summarize_run,
)

TITLES = ("Tarn", "Moth {grey}", "Old pier", "Tarn")


def passages(n: int = 4, n_questions: int = 3) -> list[dict[str, Any]]:
    """Passages of the release's grouped layout; some share a title, none a context."""
    return [
        {
            "title": TITLES[index % len(TITLES)],
            "context": f"Context {index}. It has more than one sentence.",
            "questions": [
                {"question": f"Which {q} of {index}?", "answer": f"gold {index}-{q}"}
                for q in range(n_questions)
            ],
        }
        for index in range(n)
    ]


def prompt_for(passage: dict[str, Any], instruction: str = "Say what Tarn implies.") -> str:
    return f"{instruction}\n\nPassage:\n{passage['title']}\n{passage['context']}\n\nImplications:\n"


def dataset(entries: list[dict[str, Any]], k: int = 2, **changes: Any) -> list[dict[str, Any]]:
    return [
        {
            **entry,
            "completions": [f"{number}. about {entry['context']}" for number in range(k)],
            "prompt": prompt_for(entry),
            **changes,
        }
        for entry in entries
    ]


def examinations(
    entries: list[dict[str, Any]],
    right: float = 0.5,
    k: int = 1,
    repeats: int = 1,
    records: bool = True,
    seed: int = 0,
    **settings: Any,
) -> dict[str, Any]:
    """Inner loops whose answers are right with probability `right`, with the release's fields."""
    chance = random.Random(seed)
    articles, summaries = [], []
    for entry in entries:
        completions, of_article = [], []
        for number in range(k):
            questions = [
                _question(repeat, question, chance.random() < 0.3, chance.random() < right)
                for repeat in range(repeats)
                for question in entry["questions"]
            ]
            n = len(entry["questions"])
            parts = [questions[start : start + n] for start in range(0, len(questions), n)]
            summary = summarize_completion(
                [
                    Repetition(
                        [q["baseline_correct"] for q in part], [q["adapter_correct"] for q in part]
                    )
                    for part in parts
                ]
            )
            of_article.append(summary)
            completions.append(
                {
                    "text": f" {number}. about {entry['context']}\n",
                    "stats": vars(summary),
                    "questions": questions if records else [],
                }
            )
        summaries.append(of_article)
        articles.append(
            {
                "title": entry["title"],
                "context": entry["context"],
                "prompt": prompt_for(entry),
                "stats": rounded(summarize_article(of_article)),
                "completions": completions,
            }
        )
    return {
        "overall": rounded(summarize_run(summaries)),
        "dataset": "data/synthetic_data/eval/other.json",
        "n_articles": len(entries),
        "k_completions": k,
        "eval_times": repeats,
        "articles": articles,
        **settings,
    }


def _question(repeat: int, question: dict[str, str], before: bool, after: bool) -> dict[str, Any]:
    return {
        "rep": repeat,
        **question,
        "baseline_answer": f"it is {question['answer']}" if before else "something else",
        "adapter_answer": f"it is {question['answer']}" if after else "",
        "baseline_correct": before,
        "adapter_correct": after,
    }


def pretraining(
    entries: list[dict[str, Any]],
    version: str = "v2",
    right: float = 0.6,
    shuffle_seed: int | None = 42,
    limit: int | None = None,
    k: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """A pretraining file whose questions, which it does not hold, are shuffled and cut."""
    chance = random.Random(seed)
    asked = [question for entry in entries for question in entry["questions"]]
    if shuffle_seed is not None:
        random.Random(shuffle_seed).shuffle(asked)
    asked = asked[:limit]
    sides: dict[str, Any] = {}
    for prefix, share in (("baseline", 0.3), ("adapter", right)):
        verdicts = [chance.random() < share for _ in asked]
        sides[f"{prefix}_correct"] = verdicts
        sides[f"{prefix}_texts"] = [
            f"it is {question['answer']}" if verdict else "something else"
            for question, verdict in zip(asked, verdicts, strict=True)
        ]
    means = {
        f"{p}_accuracy": round(sum(sides[f"{p}_correct"]) / len(asked), 4)
        for p in ("baseline", "adapter")
    }
    common = {"n_articles": len(entries), "k_completions": k, "dataset": "x/y.json"}
    if version == "v2":
        return {**common, "metrics": means, "per_question": sides, "args": {"seed": 43}}
    return {**common, "overall": means, "per_article": {}, "server_reply": sides}


def sequences(size: int = 3, seed: int = 0, n: int = 8) -> dict[str, Any]:
    chance = random.Random(seed)
    matrix = [
        [chance.random() if row == 0 or column < row else 0.0 for column in range(size)]
        for row in range(size + 1)
    ]
    std = [[value / 2 for value in row] for row in matrix]
    return {"mean_over_sequences": matrix, "std_over_sequences": std, "n_sequences": n}


def write(folder: Path, files: dict[str, Any]) -> Path:
    """Write values as JSON, lists under .jsonl as lines, and texts as they are."""
    for name, value in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(value, str):
            text = value
        elif path.suffix == ".jsonl":
            text = "".join(json.dumps(row) + "\n" for row in value)
        else:
            text = json.dumps(value)
        path.write_text(text, encoding="utf-8")
    return folder
