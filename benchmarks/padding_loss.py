"""The release's loss on padding: where it pulls an adapter, and how well samples of it stand in.

The release pads each training sequence to 2,048 tokens and learns the padding too. For several of
its self-edits this takes the gradient of every sequence under that loss (exact), of the text alone,
and under the sampled estimate, and compares their means over the self-edit. An adapter begins with
B = 0, where A has no gradient, so each is first trained on the text for an epoch.

Reads   SEAL_DATA/seal-release/general-knowledge/data/synthetic_data/eval/base_val.json
Writes  a Markdown table to the terminal and, with --output, the numbers as JSON
Run     OMP_NUM_THREADS=1 python benchmarks/padding_loss.py --output runs/padding-loss.json
"""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from timing import DEFAULT_DATA
from timing.jobs import TARGETS, make_job, read_self_edits, with_padding
from timing.presets import build_model
from transformers import PreTrainedModel

from seal.command_line.arguments import arg
from seal.command_line.program import run_program
from seal.lora import AdapterJob, train_adapters
from seal.lora.bank import AdapterBank, find_targets
from seal.lora.files import WEIGHTS_FILE, AdapterFolder
from seal.lora.packing import pack_batches, pack_sequence
from seal.lora.train import add_gradients
from seal.models.untrained import train_tokenizer
from seal.records import write_json
from seal.report.intervals import mean
from seal.report.tables import markdown_table
from seal.seeds import derive_seed

EXACT = "release: every pad to 2,048"
TEXT = "text and one end-of-text token (default)"


@dataclass(frozen=True)
class Config:
    """Flags of padding_loss.py."""

    data: Path = arg("folder of data", DEFAULT_DATA)
    self_edits: int = arg("self-edits compared", 5, at_least=1)
    samples: list[int] = arg("pads sampled per sequence, one row each", [16, 64], at_least=1)
    output: Path | None = arg("JSON file for the numbers", None)


def main(config: Config) -> None:
    """Print, for each loss, how its gradient compares with the exact one, and what it costs."""
    self_edits = read_self_edits(config.data, config.self_edits)
    tokenizer = train_tokenizer([text for texts in self_edits for text in texts], vocab_size=8192)
    model = build_model("small", len(tokenizer), torch.device("cpu"))
    measured: dict[str, dict[str, list[float]]] = {}
    for seed, texts in enumerate(self_edits):
        job = make_job(texts, tokenizer, seed)
        weights = train_an_epoch(model, job)
        exact_job = with_padding(job, tokenizer, "max")
        ways = {EXACT: exact_job, TEXT: job}
        for samples in config.samples:
            padding = replace(exact_job.padding, mode="sampled", samples=samples)
            ways[f"{samples} sampled pads"] = replace(exact_job, padding=padding)
        gradients = {}
        for way, posed in ways.items():
            start = time.process_time()
            gradients[way] = mean_gradient(model, posed, weights)
            row = measured.setdefault(way, {"cosine": [], "relative_error": [], "seconds": []})
            row["seconds"].append(time.process_time() - start)
            exact = gradients[EXACT]
            row["cosine"].append(float(torch.cosine_similarity(gradients[way], exact, dim=0)))
            row["relative_error"].append(float((gradients[way] - exact).norm() / exact.norm()))
    print(format_table(measured))
    if config.output is not None:
        write_json(config.output, measured)


def train_an_epoch(model: PreTrainedModel, job: AdapterJob) -> dict[str, torch.Tensor]:
    """The adapter's weights after one epoch on the text."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "adapter"
        train_adapters(model, [replace(job, epochs=1)], [folder], TARGETS, slots=1)
        return load_file(folder / WEIGHTS_FILE)


def mean_gradient(
    model: PreTrainedModel, job: AdapterJob, weights: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """The adapter's gradient [P], averaged over the job's sequences, each a step of its own."""
    bank = AdapterBank(model, find_targets(model, TARGETS), slots=1, rank=job.rank)
    bank.load(0, AdapterFolder(job.rank, job.alpha / job.rank, weights))
    gradients = bank.enable_gradients()
    generator = torch.Generator().manual_seed(derive_seed(job.seed, "padding"))
    with bank.attached():
        for input_ids, labels in job.sequences:
            step = [(0, [pack_sequence(input_ids, labels, job.padding, generator)])]
            for batch in pack_batches(step, 8192, model.device):
                add_gradients(model, bank, batch)
    return gradients[0] / len(job.sequences)


def format_table(measured: Mapping[str, Mapping[str, list[float]]]) -> str:
    """Means over the self-edits; cost as a multiple of the default's."""
    default = mean(measured[TEXT]["seconds"])
    rows = [
        [
            way,
            f"{mean(row['cosine']):.3f}",
            f"{mean(row['relative_error']):.3f}",
            f"{mean(row['seconds']) / default:.1f}",
        ]
        for way, row in measured.items()
    ]
    return markdown_table(["loss", "cosine to exact", "relative error", "cost"], rows)


if __name__ == "__main__":
    run_program(main, Config)
