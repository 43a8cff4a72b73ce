"""SEAL's inner loop: an adapter learns a self-edit and is examined (paper, section 3.1)."""

from collections.abc import Sequence
from itertools import chain

from transformers import PreTrainedTokenizerBase

from knowledge.data.passages import Passage
from knowledge.judging.judges import Judge
from knowledge.method.closed_book import Examiner, Outcome, Trial, grade_missing, read_outcomes
from knowledge.method.training_texts import training_sequences, training_texts
from knowledge.settings import InnerLoopSettings
from seal.loop.inner_loops import pending_groups, run_inner_loops
from seal.loop.policy import Policy
from seal.lora import AdapterJob, PaddingLoss
from seal.run import Run


def self_edit_texts(passage: Passage, text: str, settings: InnerLoopSettings) -> tuple[str, ...]:
    """The training texts that a self-edit stands for (golden rule G1)."""
    split, add = settings.split_newlines, settings.add_context
    title, context = passage.title, passage.context
    return tuple(training_texts(title, context, text, split_newlines=split, add_context=add))


def adapter_job(
    trial: Trial, tokenizer: PreTrainedTokenizerBase, settings: InnerLoopSettings
) -> AdapterJob:
    """The LoRA finetune of one trial, with the tokens of its texts."""
    mode, length = settings.padding_loss, settings.max_length
    padding = None if mode == "none" else PaddingLoss(mode, tokenizer.pad_token_id, length)
    ended = padding is None
    return AdapterJob(
        sequences=training_sequences(trial.texts, tokenizer, length, end_of_text=ended),
        learning_rate=settings.learning_rate,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        gradient_accumulation=settings.gradient_accumulation,
        schedule="linear",
        warmup_steps=0,
        max_grad_norm=1.0,
        rank=settings.lora_rank,
        alpha=settings.lora_alpha,
        seed=trial.seed,
        padding=padding,
    )


def run_trials(
    run: Run,
    trials: Sequence[Trial],
    policy: Policy,
    judge: Judge,
    settings: InnerLoopSettings,
    label: str = "inner loops",
) -> list[Outcome]:
    """Train, ask and grade all trials; what the run holds already is not done again.

    Appends RUN/answers.jsonl and RUN/grades.jsonl, one line per trial. Returns the outcomes in the
    order of `trials`.
    """
    pending = chain(*pending_groups(run, trials, "answers", settings.slots))
    jobs = {t.id: adapter_job(t, policy.tokenizer, settings) for t in pending if t.texts}
    if jobs:
        steps = sum(job.steps for job in jobs.values())
        tokens = sum(job.tokens for job in jobs.values())
        cost = f"{len(jobs):,} adapters, {steps:,} steps, {tokens:,} training tokens"
        run.say(f"{label}: {cost}")
    run_inner_loops(
        run,
        policy,
        trials,
        lambda trial: jobs.get(trial.id),
        Examiner(run, policy, judge, settings).examine,
        records="answers",
        slots=settings.slots,
        target_modules=settings.target_modules,
        label=label,
    )
    grade_missing(run, trials, judge, settings)
    return read_outcomes(run, trials)
