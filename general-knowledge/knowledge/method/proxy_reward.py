"""The proxy reward: a chat model marks a self-edit instead of an inner loop (paper v2).

It gives 1 to 5 points for length, diversity, quality and correctness; the reward is their sum, 4 to
20. The rubric is a prompt file. A self-edit that could not be rated is unrated, never a bad one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from knowledge.data.prompts import chat_messages
from knowledge.judging.judges import open_judge_endpoint
from knowledge.judging.replies import ProxyScores, read_proxy_scores
from knowledge.settings import OuterLoopSettings
from seal.chat.client import ChatClient
from seal.chat.endpoints import endpoint_name
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


@dataclass(frozen=True)
class Rating:
    """What the rater makes of a self-edit; no scores, but a reason, where it could not be rated."""

    scores: ProxyScores | None
    reason: str | None = None


class Rater:
    """Asks a chat model for marks."""

    def __init__(self, client: ChatClient, rubric: Path) -> None:
        self.name = endpoint_name(client)
        self._client = client
        self._rubric = rubric

    def rate(self, items: Sequence[RatingItem]) -> list[Rating]:
        """One rating per item; a blank self-edit has the lowest marks without asking.

        Raises UserError where the endpoint will answer no further call (`ChatClient.complete`).
        """
        asked = [item for item in items if item.self_edit.strip()]
        conversations = [
            chat_messages(
                self._rubric,
                {"title": item.title, "passage": item.passage, "self_edit": item.self_edit.strip()},
            )
            for item in asked
        ]
        replies = iter(self._client.complete(conversations, keep=_is_rating))
        ratings = []
        for item in items:
            if not item.self_edit.strip():
                ratings.append(Rating(_NOTHING))
                continue
            reply = next(replies)
            scores = None if reply.text is None else read_proxy_scores(reply.text)
            reason = None if scores else reply.failure or "a reply without all four marks"
            ratings.append(Rating(scores, reason))
        return ratings


def _is_rating(text: str) -> bool:
    return read_proxy_scores(text) is not None


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
    return Rater(open_judge_endpoint(settings, _GREEDY, "--reward inner-loop"), rubric)


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
            rated = [_record(*pair) for pair in zip(group, rater.rate(group), strict=True)]
            run.append("ratings", *(record for record in rated if record["scores"]))
            unrated += [record for record in rated if not record["scores"]]
            bar.update(len(group))
    if len(unrated) > max_unrated * len(items):
        most = Counter(record["reason"] for record in unrated).most_common(1)[0][0]
        raise UserError(
            f"{len(unrated)} of {len(items)} self-edits could not be rated (mostly: {most}); run"
            " the same command again to ask for these alone, or raise --max_ungraded"
        )
    run.append("ratings", *unrated)
    scores = {record["id"]: record["scores"] for record in run.records("ratings")}
    return {item.id: ProxyScores(**found) if (found := scores[item.id]) else None for item in items}


def _record(item: RatingItem, rating: Rating) -> Record:
    scores = asdict(rating.scores) if rating.scores else None
    return {"id": item.id, "scores": scores, **({"reason": rating.reason} if not scores else {})}
