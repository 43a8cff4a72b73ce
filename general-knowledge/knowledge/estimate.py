"""What a run will cost, said before it starts."""

from collections.abc import Sequence

from knowledge.passages import Passage
from knowledge.settings import RewardSettings


def estimate_rewards(passages: Sequence[Passage], k: int, settings: RewardSettings) -> str:
    """Adapters, answers and judge calls of one round, in words.

    Tokens are counted when the self-edits are there (see `describe_jobs`): their length is up to
    the policy.
    """
    adapters = len(passages) * k * settings.repeats
    questions = sum(len(passage.questions) for passage in passages)
    answers = questions * (1 + k * settings.repeats)
    calls = f"at most {answers:,} calls of {settings.judge_model}"
    return (
        f"{len(passages)} passages, {len(passages) * k:,} self-edits, {adapters:,} adapters,"
        f" {answers:,} answers, {calls if settings.judge == 'openai' else 'no judge calls'}"
    )
