"""The proxy reward: a chat model marks a self-edit instead of an inner loop (paper v2).

It gives 1 to 5 points for length, diversity, quality and correctness; the reward is their sum, 4 to
20. The rubric is a prompt file. A self-edit that could not be rated is unrated, never bad.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from knowledge.data.passages import Passage
from knowledge.data.prompts import RUBRIC_FILE, chat_messages, self_edit_values
from knowledge.judging.replies import ProxyScores, read_proxy_scores
from knowledge.method.reward import Reward
from knowledge.method.self_edits import SelfEdit
from knowledge.settings import OuterLoopSettings, RewardSettings
from seal.chat.client import ChatClient, check_failures, open_endpoint
from seal.errors import UserError
from seal.loop.policy import Policy
from seal.loop.rest_em import Numbers
from seal.prompt_files import load_prompt
from seal.records import Record
from seal.report.intervals import mean
from seal.run import Run

_GREEDY = {"temperature": 0.0, "max_tokens": 256}  # four lines, and room for a model that comments
_GROUP = 128
_NOTHING = ProxyScores(length=1, diversity=1, quality=1, correctness=1, final=4)


@dataclass(frozen=True)
class Rating:
    """A line of ratings.jsonl: the marks of a self-edit, or the reason why there are none."""

    id: str
    scores: ProxyScores | None
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.scores is None) != (self.reason is not None):
            raise ValueError("it holds neither marks nor a reason alone")
        if self.scores:
            *marks, final = asdict(self.scores).values()
            if not all(1 <= mark <= 5 for mark in marks) or not 4 <= final <= 20:
                raise ValueError("a mark is not one of 1 to 5, or the final score of 4 to 20")


@dataclass(frozen=True)
class Rater:
    """Asks a chat model for marks, with the rubric of a prompt file."""

    client: ChatClient
    rubric: Path

    def rate(
        self, items: Sequence[tuple[Passage, str]]
    ) -> list[tuple[ProxyScores | None, str | None]]:
        """The marks of self-edits, each beside its passage; None with the reason where none came.

        A blank self-edit has the lowest marks unasked. Raises UserError as `ChatClient.read` does.
        """
        conversations = [
            chat_messages(self.rubric, self_edit_values(passage) | {"self_edit": text.strip()})
            if text.strip()
            else None
            for passage, text in items
        ]
        unclear = "a reply without all four marks"
        return self.client.read(conversations, read_proxy_scores, unclear, unasked=_NOTHING)


def open_rater(settings: OuterLoopSettings) -> Rater:
    """The chat model that the judge's flags name, found to be working, with the rubric's file.

    Raises UserError with the offline judge, for a malformed rubric, and as `open_endpoint` does.
    """
    if settings.judge == "offline":
        fix = "add --judge openai, or use --reward inner-loop"
        raise UserError(f"--reward proxy needs a chat model to rate self-edits; {fix}")
    rubric = settings.prompt_folder / RUBRIC_FILE
    load_prompt(rubric, frozenset({"title", "passage", "self_edit"}))
    client = open_endpoint(settings, "judge", _GREEDY, instead="--reward inner-loop")
    return Rater(client, rubric)


def rate_self_edits(
    run: Run,
    passages: Sequence[Passage],
    self_edits: Sequence[SelfEdit],
    policy: Policy,
    seed: int,
    *,
    rater: Rater,
    settings: RewardSettings,
) -> tuple[list[Reward], Numbers]:
    """Reward every self-edit with a chat model's marks for its text, 4 to 20; no inner loop runs.

    As `measure_rewards`, but neither the policy's weights nor the seed matter. Appends
    RUN/ratings.jsonl and writes rewards.jsonl. Raises UserError, with the ratings kept, if more
    than `max_ungraded` of the self-edits stay unrated; a smaller share is recorded as unrated for
    good.
    """
    by_id = {passage.id: passage for passage in passages}
    wanted = [edit for edit in self_edits if edit.id not in run.ids("ratings")]
    unrated: list[Record] = []
    with run.progress(len(wanted), "ratings") as bar:
        for start in range(0, len(wanted), _GROUP):
            group = wanted[start : start + _GROUP]
            ratings = rater.rate([(by_id[edit.passage_id], edit.text) for edit in group])
            for edit, (scores, reason) in zip(group, ratings, strict=True):
                if scores:
                    run.append("ratings", {"id": edit.id, "scores": asdict(scores)})
                else:
                    unrated.append({"id": edit.id, "scores": None, "reason": reason})
            bar.update(len(group))
    reasons, what = [record["reason"] for record in unrated], "self-edits could not be rated"
    check_failures(reasons, len(self_edits), what, settings.max_ungraded, "--max_ungraded")
    run.append("ratings", *unrated)
    marks = {record.id: record.scores for record in run.records("ratings", Rating)}
    rewards = [
        Reward(edit.id, edit.passage_id, float(found.final) if found else None, [])
        for edit in self_edits
        for found in [marks[edit.id]]
    ]
    run.replace("rewards", map(asdict, rewards))
    rated = [reward.reward for reward in rewards if reward.reward is not None]
    return rewards, {
        "reward": "proxy",
        "rater": rater.client.name,
        "mean_proxy_score": round(mean(rated), 4) if rated else None,
        "n_passages": len(passages),
        "n_self_edits": len(self_edits),
        "n_unrated": len(rewards) - len(rated),
    }
