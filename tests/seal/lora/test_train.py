"""Adapters trained side by side are those that HF Trainer with PEFT trains one at a time."""

import json
from dataclasses import replace

import pytest
import torch
from peft import PeftModel

from benchmarks.timing.hf_trainer import train_with_trainer
from seal.errors import UserError
from seal.lora import PaddingLoss, train_adapters
from seal.lora import train as lora_train
from seal.lora.bank import AdapterBank, find_targets
from seal.lora.files import CONFIG_FILE, WEIGHTS_FILE, AdapterFolder, read_adapter
from seal.lora.packing import pack_batches, pack_sequence
from seal.lora.train import add_gradients
from tests.support.small_jobs import (
    VOCABULARY,
    adapter_weights,
    distance,
    random_job,
    random_weights,
)
from tests.support.small_models import small_llama, small_qwen2, small_qwen3

ATTENTION = ["q_proj", "v_proj"]


def masked(job):
    """The same job with losses on the second half of each sequence only."""
    halves = [
        (ids, [-100] * (len(ids) // 2) + list(ids[len(ids) // 2 :])) for ids, _ in job.sequences
    ]
    return replace(job, sequences=halves)


def unlike_jobs():
    """Jobs of which no two agree in more than a few settings."""
    return [
        random_job(1, warmup_steps=2),
        random_job(2, rank=2, alpha=5, epochs=2, batch_size=2, schedule="cosine", warmup_steps=2),
        masked(random_job(3, schedule="constant", warmup_steps=3, max_grad_norm=None, epochs=2)),
        random_job(4, lengths=(4, 30, 6, 5, 8), gradient_accumulation=2, max_grad_norm=0.1),
        random_job(5, rank=3, alpha=16, learning_rate=1e-3, max_grad_norm=0, epochs=1),
        random_job(6, lengths=(12, 3, 7), batch_size=2, gradient_accumulation=2, schedule="cosine"),
        random_job(7, epochs=0.5, schedule="cosine"),
        random_job(8, lengths=(4, 6, 5, 9, 3), epochs=1.5, batch_size=2),
    ]


def with_weights(model, targets, jobs):
    return [
        replace(job, initial_weights=random_weights(model, targets, job.rank, seed=number))
        for number, job in enumerate(jobs)
    ]


def folders_in(tmp_path, jobs):
    return [tmp_path / f"adapter-{number}" for number in range(len(jobs))]


def train(model, jobs, folder, targets=ATTENTION, slots=3, **options):
    """Train and return each job's result and weights."""
    folders = folders_in(folder, jobs)
    results = train_adapters(model, jobs, folders, targets, slots, **options)
    return list(zip(results, map(adapter_weights, folders), strict=True))


@pytest.mark.parametrize(
    ("build", "targets", "slots", "max_tokens"),
    [
        (small_qwen2, ATTENTION, 8, 8192),  # all jobs side by side
        (small_llama, "all-linear", 3, 8192),  # with a queue
        (small_qwen3, ["k_proj", "down_proj"], 4, 20),  # steps cut into parts
    ],
)
def test_differing_jobs_equal_trainers_in_float64(build, targets, slots, max_tokens, tmp_path):
    model = build(VOCABULARY, torch.float64)
    jobs = with_weights(model, targets, unlike_jobs())
    trained = train(model, jobs, tmp_path, targets, slots, max_tokens=max_tokens)
    for job, (result, weights) in zip(jobs, trained, strict=True):
        expected = train_with_trainer(model, job, targets)
        assert distance(weights, expected.weights) < 1e-12
        assert result.learning_rates == expected.learning_rates
        assert result.losses == pytest.approx(expected.losses, rel=1e-6)  # Trainer sums in float32
        assert result.grad_norms == pytest.approx(expected.grad_norms, rel=1e-12)
        assert result.numbers["steps"] == len(result.losses) == len(expected.losses)
        assert result.tokens == job.tokens
    clipped = trained[3][0].grad_norms
    assert min(clipped) > 0.1, "the clipping that this test is about never happened"


def test_float32_agrees_to_rounding(tmp_path):
    model = small_qwen2(VOCABULARY)
    jobs = with_weights(model, ATTENTION, unlike_jobs()[:4])
    for job, (_, weights) in zip(jobs, train(model, jobs, tmp_path), strict=True):
        assert distance(weights, train_with_trainer(model, job, ATTENTION).weights) < 1e-4


def test_bfloat16_agrees_with_a_trainer_under_autocast(tmp_path):
    model = small_qwen2(VOCABULARY, torch.bfloat16)
    jobs = with_weights(model, ATTENTION, [random_job(1, epochs=2), random_job(2, epochs=2)])
    for job, (_, weights) in zip(jobs, train(model, jobs, tmp_path), strict=True):
        expected = train_with_trainer(model, job, ATTENTION).weights
        assert {weight.dtype for weight in weights.values()} == {torch.float32}
        assert distance(weights, expected) < 1e-4


def test_the_padding_of_the_release_equals_a_padded_trainer(tmp_path):
    model = small_llama(VOCABULARY, torch.float64)
    padding = PaddingLoss("max", token_id=0, length=40)
    jobs = with_weights(
        model,
        ATTENTION,
        [
            random_job(1, lengths=(5, 40, 39, 12), epochs=1, padding=padding),
            random_job(2, epochs=1),
            random_job(3, batch_size=2, epochs=1, padding=padding),
        ],
    )
    for job, (result, weights) in zip(jobs, train(model, jobs, tmp_path), strict=True):
        expected = train_with_trainer(model, job, ATTENTION)
        assert distance(weights, expected.weights) < 1e-12
        assert result.losses == pytest.approx(expected.losses, rel=1e-6)


def test_sampled_pads_give_the_gradient_of_all_pads_on_average():
    model = small_qwen2(VOCABULARY, torch.float64)
    bank = AdapterBank(model, find_targets(model, ATTENTION), slots=1, rank=4, dtype=torch.float64)
    bank.load(0, AdapterFolder(4, 2.0, random_weights(model, ATTENTION, 4, seed=0)))
    gradients = bank.enable_gradients()
    (input_ids, labels) = random_job(0, lengths=(12,)).sequences[0]

    def gradient(padding, generator=None):
        sequence = pack_sequence(input_ids, labels, padding, generator)
        gradients.zero_()
        for batch in pack_batches([(0, [sequence])], 10**6, bank.weights.device):
            add_gradients(model, bank, batch)
        return gradients.clone()

    with bank.attached():
        exact = gradient(PaddingLoss("max", token_id=0, length=300))
        sampled = PaddingLoss("sampled", token_id=0, length=300, samples=8)
        generator = torch.Generator().manual_seed(0)
        draws = torch.stack([gradient(sampled, generator) for _ in range(200)])
        without = gradient(None)
    size = exact.norm()
    errors = (draws - exact).flatten(1).norm(dim=1) / size
    assert 0.1 < errors.mean() < 1
    # Unbiased: the error of the mean falls with the root of the number of draws
    assert (draws.mean(dim=0) - exact).norm() / size < 2 * errors.mean() / 200**0.5
    assert (without - exact).norm() / size > 0.5


def test_sampled_padding_is_repeatable_and_differs_between_steps(tmp_path):
    padding = PaddingLoss("sampled", token_id=0, length=200, samples=3)
    jobs = [random_job(1, lengths=(6, 6), padding=padding, learning_rate=1e-12)]
    model = small_qwen2(VOCABULARY)
    (first, _), (again, _) = (
        train(model, jobs, tmp_path / name, slots=1)[0] for name in ("first", "again")
    )
    assert first.losses == again.losses
    assert len({round(loss, 4) for loss in first.losses}) > 2


@pytest.mark.parametrize("seed", [0, 5])
def test_without_initial_weights_the_seed_decides(tmp_path, seed):
    model = small_qwen2(VOCABULARY)
    job = replace(random_job(1), seed=seed)
    bank = AdapterBank(model, find_targets(model, ATTENTION), slots=1, rank=4)
    bank.initialise(0, rank=4, alpha=8, seed=seed)
    explicit = replace(job, initial_weights=bank.export(0, 4))
    (_, weights), (_, expected) = train(model, [job, explicit], tmp_path, slots=2)
    assert distance(weights, expected) == 0


def test_one_slot_equals_many(tmp_path):
    model = small_qwen2(VOCABULARY, torch.float64)
    jobs = unlike_jobs()
    alone = train(model, jobs, tmp_path / "alone", slots=1)
    together = train(model, jobs, tmp_path / "together", slots=5)
    for (one, weights), (other, expected) in zip(alone, together, strict=True):
        assert distance(weights, expected) < 1e-12
        assert one.losses == pytest.approx(other.losses, rel=1e-12)


def test_a_finished_slot_moves_no_more(tmp_path, monkeypatch):
    """Momentum would move it: its weights are compared at its export and at the very end."""
    banks = []
    attached = AdapterBank.attached
    monkeypatch.setattr(
        AdapterBank, "attached", lambda bank: (banks.append(bank), attached(bank))[1]
    )
    at_export = {}

    def on_done(index, result):
        at_export[index] = banks[0].weights[index].clone()

    jobs = [random_job(1, epochs=1), random_job(2, epochs=4)]
    train(small_qwen2(VOCABULARY), jobs, tmp_path, slots=2, on_done=on_done)
    assert torch.equal(banks[0].weights[0], at_export[0])


def test_a_diverging_adapter_leaves_its_neighbours_alone(tmp_path):
    model = small_qwen2(VOCABULARY, torch.float64)
    tame = random_job(1, max_grad_norm=None)
    # Adam's first step divides the rate by 0.1: beyond float64, whatever the gradient is
    wild = replace(tame, learning_rate=1e308)
    beside_tame, beside_wild = (
        train(model, [random_job(2), middle, random_job(3)], tmp_path / name, slots=3)
        for name, middle in (("tame", tame), ("wild", wild))
    )
    assert any(not weight.isfinite().all() for weight in beside_wild[1][1].values())
    for neighbour in (0, 2):
        assert distance(beside_wild[neighbour][1], beside_tame[neighbour][1]) < 1e-12


def test_the_model_is_untouched_and_the_export_is_pefts(tmp_path):
    model = small_llama(VOCABULARY)
    model.get_submodule("model.layers.0.mlp.up_proj").weight.requires_grad_(False)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trainable = [parameter.requires_grad for parameter in model.parameters()]
    modules = dict(model.named_modules())
    implementation = model.config._attn_implementation
    job = random_job(1, rank=3)
    ((_, weights),) = train(model, [job], tmp_path, "all-linear")
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert [parameter.requires_grad for parameter in model.parameters()] == trainable
    assert all(parameter.grad is None for parameter in model.parameters())
    assert dict(model.named_modules()) == modules
    assert not any(module._forward_hooks for module in modules.values())
    assert model.config._attn_implementation == implementation

    folder = folders_in(tmp_path, [job])[0]
    config = json.loads((folder / CONFIG_FILE).read_text())
    assert (config["r"], config["lora_alpha"]) == (3, 8)
    assert config["target_modules"] == sorted(
        f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")
    )
    assert read_adapter(folder).rank == 3
    adapted = PeftModel.from_pretrained(model, folder)
    for name, weight in weights.items():
        in_peft = adapted.get_parameter(name.replace(".weight", ".default.weight"))
        assert torch.equal(in_peft, weight)


def test_on_done_may_use_the_model_and_its_error_ends_the_training(tmp_path):
    model = small_qwen2(VOCABULARY)
    tokens = torch.arange(5)[None]
    with torch.no_grad():
        bare = model(tokens).logits
    seen = []

    def on_done(index, result):
        assert folders_in(tmp_path, jobs)[index].is_dir()
        with torch.no_grad():
            assert torch.equal(model(tokens).logits, bare)
        seen.append(index)
        if len(seen) == 2:
            raise RuntimeError("stop")

    jobs = [random_job(1, epochs=3), random_job(2, epochs=1), random_job(3, epochs=1)]
    with pytest.raises(RuntimeError, match="stop"):
        train(model, jobs, tmp_path, slots=2, on_done=on_done)
    assert seen == [1, 2]
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_it_learns(tmp_path):
    job = random_job(1, lengths=(12, 15), epochs=30)
    ((result, _),) = train(small_qwen2(VOCABULARY), [job], tmp_path, "all-linear")
    assert result.losses[-1] < 0.2 * result.losses[0]


def test_no_jobs_are_no_work(tmp_path):
    assert train_adapters(small_qwen2(VOCABULARY), [], [], ATTENTION, 4) == []


def test_what_cannot_be_trained_is_refused_before_any_training(tmp_path):
    model, job = small_qwen2(VOCABULARY), random_job(1)
    folder = tmp_path / "adapter"
    with pytest.raises(UserError, match="w_pack"):
        train_adapters(model, [job], [folder], ["w_pack"], 1)
    with pytest.raises(ValueError, match="output_dirs"):
        train_adapters(model, [job, job], [folder, folder], ATTENTION, 1)
    with pytest.raises(ValueError, match="slots"):
        train_adapters(model, [job], [folder], ATTENTION, 0)
    incomplete = random_weights(model, ["q_proj"], 4, seed=0)
    with pytest.raises(ValueError, match=r"job 0: .* is missing"):
        train_adapters(model, [replace(job, initial_weights=incomplete)], [folder], ATTENTION, 1)
    other_rank = random_weights(model, ATTENTION, 2, seed=0)
    with pytest.raises(ValueError, match="shape"):
        train_adapters(model, [replace(job, initial_weights=other_rank)], [folder], ATTENTION, 1)
    with pytest.raises(UserError, match="dropout"):
        train_adapters(
            small_qwen2(VOCABULARY, attention_dropout=0.1), [job], [folder], ATTENTION, 1
        )
    assert not folder.exists()


def test_an_output_folder_may_be_there_if_it_is_empty(tmp_path):
    model, job = small_qwen2(VOCABULARY), random_job(1)
    folder = tmp_path / "adapter"
    folder.mkdir()
    train_adapters(model, [job], [str(folder)], ATTENTION, 1)
    written = (folder / WEIGHTS_FILE).read_bytes()
    with pytest.raises(UserError, match=f"{folder} is not empty"):
        train_adapters(model, [job], [folder], ATTENTION, 1)
    assert (folder / WEIGHTS_FILE).read_bytes() == written


# The head's loss and gradient are autograd's, however it is sliced


@pytest.mark.parametrize("logits_in_flight", [1, 70, 10**6])
@pytest.mark.parametrize("bias", [False, True])
def test_loss_and_gradient_are_those_of_autograd(monkeypatch, logits_in_flight, bias):
    monkeypatch.setitem(lora_train._LOGITS, "cpu", logits_in_flight)
    torch.manual_seed(0)
    head = torch.nn.Linear(6, 30, bias=bias, dtype=torch.float64)
    hidden = torch.randn(9, 6, dtype=torch.float64, requires_grad=True)
    targets, weights = torch.randint(30, (9,)), torch.rand(9, dtype=torch.float64)
    losses, gradient = lora_train.head_loss(hidden, head, targets, weights)
    expected = torch.nn.functional.cross_entropy(head(hidden), targets, reduction="none")
    torch.testing.assert_close(losses, expected.detach(), rtol=0, atol=1e-12)
    (expected_gradient,) = torch.autograd.grad((expected * weights).sum(), hidden)
    torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=1e-12)


def test_half_precision_is_summed_in_float32():
    torch.manual_seed(0)
    head = torch.nn.Linear(6, 30, dtype=torch.bfloat16)
    hidden = torch.randn(9, 6, dtype=torch.bfloat16)
    targets = torch.randint(30, (9,))
    losses, gradient = lora_train.head_loss(hidden, head, targets, torch.ones(9).double())
    expected = torch.nn.functional.cross_entropy(head(hidden).float(), targets, reduction="none")
    torch.testing.assert_close(losses, expected.detach())
    assert (losses.dtype, gradient.dtype) == (torch.float32, torch.bfloat16)
