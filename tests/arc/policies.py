"""Policies for tests: a tokenizer with chat turns, samplers that answer by rule, a small Llama."""

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace

from arc.puzzles.grids import Grid
from arc.puzzles.rendering import answer_text, decode_grid, demonstrations_text
from arc.puzzles.tasks import Pair, Task
from arc.small_world.format_model import train_grid_tokenizer
from seal.loop.policy import Policy
from seal.samplers.in_process import TransformersSampler, share_weights
from seal.sampling import Completion, Sampler, SampleRequest, SamplingParameters
from tests.support.small_models import small_llama

SWAP = {1: 2, 2: 1}


def recolor(grid: Grid, table: dict[int, int] = SWAP) -> Grid:
    """A rule that is the same in every view of a task, since it leaves cells where they are."""
    return tuple(tuple(table.get(cell, cell) for cell in row) for row in grid)


def task_of(name: str, *inputs: Grid, rule: Callable[[Grid], Grid] = recolor) -> Task:
    """A task of this rule; the last of the inputs is the test's."""
    *shown, test_input = inputs
    demonstrations = tuple(Pair(grid, rule(grid)) for grid in shown)
    return Task(name, demonstrations, test_input, rule(test_input))


# No grid equals one of its mirror images or turns, so every view is another one
MOTH = task_of(
    "moth-0", ((1, 2, 3), (4, 5, 6)), ((2, 0, 0),), ((1, 1), (0, 2), (3, 2)), ((0, 1, 2), (3, 1, 0))
)
FERRY = task_of("ferry-0", ((7, 2), (1, 8)), ((2, 9, 1, 1),), ((5, 1), (2, 2), (6, 6)))


@cache
def chat_tokenizer():
    """Not to be changed: tests that need another one copy it."""
    texts = [demonstrations_text(task.demonstrations) for task in (MOTH, FERRY)]
    return train_grid_tokenizer(texts, vocab_size=300)


class RuleSampler:
    """Answers prediction prompts with `answer(query grid, request)`; keeps all requests by call."""

    def __init__(self, answer: Callable[[Grid, SampleRequest], str]) -> None:
        self.calls: list[list[SampleRequest]] = []
        self.parameters: list[SamplingParameters] = []
        self._answer = answer

    def complete(self, requests, parameters):
        self.calls.append(list(requests))
        self.parameters.append(parameters)
        return [
            Completion(self._answer(query_of(request.prompt), request), "stop", (1,))
            for request in requests
        ]


def query_of(prompt: list[int]) -> Grid:
    """The grid that a prediction prompt ends with."""
    text = chat_tokenizer().decode(prompt)
    return decode_grid(text.rpartition("<|user|>")[2].partition(" -> ")[0])


def by_the_rule(query: Grid, request: SampleRequest) -> str:
    return answer_text(recolor(query))


def unreadable(query: Grid, request: SampleRequest) -> str:
    return "I do not know"


def policy_of(sampler: Sampler | None, model=None, sampling_batch: int = 64) -> Policy:
    """What stands for a Policy: a sampler, and a model where one is to be trained."""
    settings = SimpleNamespace(sampler="transformers", sampling_batch=sampling_batch)
    return SimpleNamespace(
        sampler=sampler, settings=settings, tokenizer=chat_tokenizer(), model=model
    )


def small_model():
    """A random Llama, of large weights so that small adapters can move it far."""
    return small_llama(len(chat_tokenizer()), seed=2, initializer_range=0.3)


def real_policy() -> Policy:
    """A random Llama that answers for itself, with its adapters and without."""
    model = small_model()
    sampler = TransformersSampler(share_weights(model), chat_tokenizer())
    return policy_of(sampler, model)
