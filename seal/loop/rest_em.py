"""SEAL's outer loop: ReST-EM, for any domain (paper, section 3.1, algorithm 1).

    for each round:
        SE ~ LM_θ(· | C)           domain.sample    E-step: the policy writes self-edits
        θ' = SFT(θ, SE); r         domain.reward    inner loops, and what each self-edit earns
        (C, SE) with a good r      domain.select    the rows that the policy learns from
        θ = SFT(θ, rows)           update           M-step

A `Domain` says what C, τ and r are: see `method/outer_loop.py` and `method/reward.py` in either
tree. An `Update` is how the policy learns from the rows. So a third domain is a new `Domain`, and
another method of reinforcement learning a new `Update`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from seal.loop.policy import Policy
from seal.run import Run
from seal.seeds import derive_seed
from seal.training.sft import SftRow, Update

Context = TypeVar("Context")
SelfEdit = TypeVar("SelfEdit")
Reward = TypeVar("Reward")
Numbers = dict[str, Any]
"""What results.json says, by name."""
OpenPolicy = Callable[[str, Path], AbstractContextManager[Policy]]
"""Loads or serves a model by its name; the path is for a server's log."""


class Domain(Protocol[Context, SelfEdit, Reward]):
    """What the loop has to know of a domain.

    `sample` and `reward` append what they find to files of `run`, one record a line, and skip what
    the files hold already: so a killed round resumes. All randomness derives from `seed`.
    """

    def contexts(self, number: int) -> Sequence[Context]:
        """What round `number`, from 1, is about: passages, tasks (C and τ in the paper)."""

    def sample(
        self, run: Run, contexts: Sequence[Context], policy: Policy, seed: int
    ) -> Sequence[SelfEdit]:
        """Self-edits that the policy writes for each context."""

    def reward(
        self,
        run: Run,
        contexts: Sequence[Context],
        self_edits: Sequence[SelfEdit],
        policy: Policy,
        seed: int,
    ) -> tuple[Sequence[Reward], Numbers]:
        """One reward per self-edit, in order, and the round's numbers."""

    def select(
        self,
        contexts: Sequence[Context],
        self_edits: Sequence[SelfEdit],
        rewards: Sequence[Reward],
        policy: Policy,
        seed: int,
    ) -> tuple[list[SftRow], Numbers]:
        """The rows to learn from, and numbers about them, `n_selected` among these."""

    def validate(self, run: Run, policy: Policy) -> Numbers | None:
        """What the policy reaches on contexts of no round; None, the default, if there are none."""

    def describe_round(self, results: Mapping[str, Any]) -> str:
        """A round's numbers in one line."""

    def describe_validation(self, results: Sequence[Mapping[str, Any]]) -> str:
        """The validation before the first round and after each, in one line."""

    def plot(
        self,
        rounds: Sequence[Mapping[str, Any]],
        validation: Sequence[Mapping[str, Any]],
        path: Path,
    ) -> None:
        """Draw the rounds as a PNG."""


def rest_em(
    run: Run,
    domain: Domain[Any, Any, Any],
    update: Update,
    open_policy: OpenPolicy,
    *,
    model: str,
    rounds: int,
    seed: int,
) -> str:
    """Run the rounds that are not finished yet; returns the last policy's name.

    Each round starts from the policy that the round before it left. Writes RUN/round-N/results.json
    and, at the end, RUN/results.json and rounds.png.
    """
    policy, done = model, []
    for number in range(1, rounds + 1):
        part = run.part(f"round-{number}")
        if part.results() is None:
            run_round(part, number, policy, domain, update, open_policy, seed)
        done.append(part.results())
        run.say(f"round {number}: {domain.describe_round(done[-1])}")
        if done[-1]["n_selected"]:
            policy = str(part.path("sft") / "model")
    results: Numbers = {"rounds": done}
    validation = [each["validation"] for each in done if "validation" in each]
    if validation:
        final = run.part("final")
        if final.results() is None:
            with open_policy(policy, final.path("vllm.log")) as last:
                final.write_results(domain.validate(final, last))
        validation.append(final.results())
        results["validation"] = validation
        run.say(domain.describe_validation(validation))
    domain.plot(done, validation, run.path("rounds.png"))
    run.write_results(results)
    run.say(f"the policy after round {rounds}: {policy}")
    return policy


def run_round(
    part: Run,
    number: int,
    policy_name: str,
    domain: Domain[Any, Any, Any],
    update: Update,
    open_policy: OpenPolicy,
    seed: int,
) -> None:
    """E-step and M-step of one round; writes the round's results.json."""
    seed = derive_seed(seed, f"round-{number}")
    contexts = domain.contexts(number)
    results: Numbers = {"round": number}
    with open_policy(policy_name, part.path("vllm.log")) as policy:
        validation = domain.validate(part.part("validation"), policy)
        if validation is not None:
            results["validation"] = validation
        self_edits = domain.sample(part, contexts, policy, seed)
        rewards, numbers = domain.reward(part, contexts, self_edits, policy, seed)
        rows, selection = domain.select(contexts, self_edits, rewards, policy, seed)
    if rows:
        part.say(f"round {number}: finetuning the policy on {len(rows)} self-edits")
        update(policy_name, rows, part.path("sft"), seed)
    else:
        part.say(f"round {number}: no self-edit to imitate, so the policy stays as it is")
    part.write_results(results | numbers | selection)
