"""What a run will cost, said before it starts."""

from collections.abc import Sequence

from knowledge.data.passages import Passage
from knowledge.settings import OuterLoopSettings, WriterSettings
from seal.command_line.flag_values import count
from seal.errors import UserError

_CHARACTERS_PER_TOKEN = 4  # of English text, roughly
_MOST_TOKENS = 100_000_000_000


def estimate_rewards(passages: Sequence[Passage], k: int, settings: OuterLoopSettings) -> str:
    """Adapters, answers and judge calls of one round, in words.

    Tokens are counted when the self-edits are there (see `run_trials`): their length is up to
    the policy. Raises UserError for a round of absurd size.
    """
    factors = {"--n_passages": len(passages), "--k": k}
    self_edits = f"{len(passages)} passages, {count('self-edits', factors):,} self-edits"
    if settings.reward == "proxy":
        return f"{self_edits}, each rated by one call of {settings.judge_model}, no inner loops"
    adapters = count("adapters in a round", factors | {"--repeats": settings.repeats})
    questions = sum(len(passage.questions) for passage in passages)
    answers = questions * (1 + k * settings.repeats)
    calls = f"at most {answers:,} calls of {settings.judge_model}"
    return (
        f"{self_edits}, {adapters:,} adapters, {answers:,} answers,"
        f" {calls if settings.judge == 'openai' else 'no judge calls'}"
    )


def estimate_writing(texts: int, prompt_characters: int, settings: WriterSettings) -> str:
    """Texts to write, their tokens and, given prices, what a chat model will ask for them at most.

    Tokens of prompts are estimated from their characters. Raises UserError for one price alone, and
    for a run of absurd size.
    """
    lengths = {"texts about --n_passages": texts, "--max_new_tokens": settings.max_new_tokens}
    written = count("tokens", lengths, _MOST_TOKENS)
    if settings.writer == "policy":
        return f"{texts:,} texts to write, of at most {settings.max_new_tokens:,} tokens"
    read = prompt_characters // _CHARACTERS_PER_TOKEN
    said = (
        f"{texts:,} calls of {settings.writer_model}: about {read:,} tokens to read, at most"
        f" {written:,} to write"
    )
    prices = (settings.price_input, settings.price_output)
    if prices == (None, None):
        return said
    if None in prices:
        raise UserError("a price needs both --price_input and --price_output; give the other too")
    cost = (read * settings.price_input + written * settings.price_output) / 1e6
    return f"{said}, at a price of at most {cost:,.2f}"
