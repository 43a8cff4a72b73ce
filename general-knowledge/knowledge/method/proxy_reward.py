"""The proxy reward: a chat model marks a self-edit instead of an inner loop (paper v2).

It gives 1 to 5 points for length, diversity, quality and correctness; the reward is their sum, 4 to
20. The rubric is a prompt file. A self-edit that could not be rated is unrated, never bad.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from knowledge.data.prompts import chat_messages
from knowledge.judging.replies import ProxyScores, read_proxy_scores
from knowledge.settings import OuterLoopSettings
from seal.chat.client import ChatClient, check_failures, open_endpoint
from seal.errors import UserError
from seal.prompt_files import load_prompt
from seal.records import Record
from seal.run import Run

RUBRIC = "proxy-rubric"
"""The name of the prompt file."""

_GREEDY = {"temperature": 0.0, "max_tokens": 256}  # four lines, and room for a model that comments
_PLACEHOLDERS = frozenset({"title", "passage", "self_edit"})
_GROUP = 128
_NOTHING = ProxyScores(length=1, diversity=1, quality=1, correctness=1, final=4)


@dataclass(frozen=True)
class RatingItem:
    """A self-edit to rate, under its id, beside the passage that it is about."""

    id: str
    title: str
    passage: str
    self_edit: str


class Rater:
    """Asks a chat model for marks."""

    def __init__(self, client: ChatClient, rubric: Path) -> None:
        self.name = client.name
        self._client = client
        self._rubric = rubric

    def rate(self, items: Sequence[RatingItem]) -> list[tuple[ProxyScores | None, str | None]]:
        """The marks of each item, or None and the reason why there are none.

        A blank self-edit has the lowest marks without asking. Raises UserError where the endpoint
        will answer no further call (`ChatClient.complete`).
        """
        conversations = [
            chat_messages(
                self._rubric, {"title": item.title, "passage": item.passage, "self_edit": text}
            )
            for item in items
            if (text := item.self_edit.strip())
        ]
        unclear = "a reply without all four marks"
        ratings = iter(self._client.read(conversations, read_proxy_scores, unclear))
        return [next(ratings) if item.self_edit.strip() else (_NOTHING, None) for item in items]


def open_rater(settings: OuterLoopSettings) -> Rater:
    """The chat model that the judge's flags name, found to be working, with the rubric's file.

    Raises UserError with the offline judge, which can grade answers alone, for a malformed rubric,
    and for an endpoint without a key or one that does not answer.
    """
    if settings.judge == "offline":
        raise UserError(
            "--reward proxy needs a chat model to rate self-edits; add --judge openai, or use"
            " --reward inner-loop"
        )
    rubric = settings.prompt_folder / f"{RUBRIC}.txt"
    load_prompt(rubric, _PLACEHOLDERS)
    client = open_endpoint(settings, "judge", _GREEDY, instead="--reward inner-loop")
    return Rater(client, rubric)


def rate_all(
    run: Run, items: Sequence[RatingItem], rater: Rater, max_unrated: float
) -> dict[str, ProxyScores | None]:
    """Rate what RUN/ratings.jsonl lacks; the scores of all items by id, None for the unrated.

    Raises UserError, with the ratings kept, if more than `max_unrated` of the items stay unrated;
    the share that is tolerated is recorded as unrated for good.
    """
    wanted = [item for item in items if item.id not in run.ids("ratings")]
    unrated: list[Record] = []
    with run.progress(len(wanted), "ratings") as bar:
        for start in range(0, len(wanted), _GROUP):
            group = wanted[start : start + _GROUP]
            for item, (scores, reason) in zip(group, rater.rate(group), strict=True):
                if scores:
                    run.append("ratings", {"id": item.id, "scores": asdict(scores)})
                else:
                    unrated.append({"id": item.id, "scores": None, "reason": reason})
            bar.update(len(group))
    reasons = [record["reason"] for record in unrated]
    what = "self-edits could not be rated"
    check_failures(reasons, len(items), what, max_unrated, "--max_ungraded")
    run.append("ratings", *unrated)
    scores = {record["id"]: record["scores"] for record in run.records("ratings")}
    return {item.id: ProxyScores(**found) if (found := scores[item.id]) else None for item in items}
