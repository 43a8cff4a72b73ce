"""The in-process sampler: greedy like `generate`, seeded request by request, adapters at once."""

import threading
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from transformers import GenerationConfig

from seal.errors import UserError
from seal.lora import train_adapters
from seal.lora.files import write_adapter
from seal.samplers.in_process import TransformersSampler, choose_tokens, share_weights
from seal.sampling import SampleRequest, SamplingParameters
from tests.support.small_jobs import adapter_weights, random_job, random_weights
from tests.support.small_models import small_llama, small_qwen2, small_tokenizer

TEXTS = ["The cat sat on the mat.", "A dog ran to the cat; the mat was red.", "Who sat? The dog."]
PROMPTS = ["The cat", "A dog ran to the mat; who", "Who", "The red mat was", "on the"]
GREEDY = SamplingParameters(max_new_tokens=12)
FREE = SamplingParameters(max_new_tokens=12, temperature=1.0)


@pytest.fixture(scope="module")
def tokenizer():
    return small_tokenizer(TEXTS)


def build(tokenizer, seed=0):
    end = tokenizer.eos_token_id
    return small_qwen2(len(tokenizer), torch.float64, seed, eos_token_id=end)


@pytest.fixture
def sampler(tokenizer):
    return TransformersSampler(build(tokenizer), tokenizer, max_batch=4)


@pytest.fixture(scope="module")
def adapters(tokenizer, tmp_path_factory):
    """Adapters of different rank, scale and target layers."""
    model = build(tokenizer)
    folders = []
    for seed, (rank, alpha, targets) in enumerate(
        [(4, 8, ["q_proj"]), (2, 9, ["v_proj", "up_proj"])]
    ):
        folder = tmp_path_factory.mktemp("adapters") / f"adapter-{seed}"
        weights = {n: w * 5 for n, w in random_weights(model, targets, rank, seed).items()}
        write_adapter(
            folder, weights, rank=rank, alpha=alpha, target_modules=targets, base_model=""
        )
        folders.append(folder)
    return folders


def expected_greedy(model, tokenizer, prompt, new_tokens):
    """What `generate` says for one prompt alone: text, whether it stopped, the new tokens."""
    tokens = tokenizer(prompt, return_tensors="pt")["input_ids"]
    output = model.generate(tokens, max_new_tokens=new_tokens, do_sample=False)
    new = output[0, tokens.shape[1] :].tolist()
    text = tokenizer.decode(new, skip_special_tokens=True)
    return text, "stop" if new[-1] == tokenizer.eos_token_id else "length", tuple(new)


def as_tuples(completions):
    return [(c.text, c.finish_reason, c.token_ids) for c in completions]


def test_greedy_is_generates_with_and_without_adapters(sampler, tokenizer, adapters):
    folders = [adapters[1], None, adapters[0], adapters[1], adapters[0]]
    requests = [
        SampleRequest(prompt, adapter=folder)
        for prompt, folder in zip(PROMPTS + PROMPTS[::-1], folders * 2, strict=True)
    ]
    completions = sampler.complete(requests, GREEDY)
    for request, found in zip(requests, as_tuples(completions), strict=True):
        model = build(tokenizer)
        if request.adapter is not None:
            model = PeftModel.from_pretrained(model, request.adapter)
        assert found == expected_greedy(model, tokenizer, request.prompt, 12)
    assert len({c.text for c in completions}) > 5, "the adapters change nothing"


def test_an_end_of_text_token_stops_and_is_counted_but_not_shown(tokenizer):
    model = build(tokenizer)
    plain = TransformersSampler(model, tokenizer)
    (free,) = plain.complete([SampleRequest(PROMPTS[0])], GREEDY)
    tokens = tokenizer(PROMPTS[0], return_tensors="pt")["input_ids"]
    drawn = model.generate(tokens, max_new_tokens=12, do_sample=False)[0, tokens.shape[1] :]
    place = next(i for i in range(2, 12) if drawn[i] not in drawn[:i])
    model.generation_config = GenerationConfig(eos_token_id=[7777, drawn[place].item()])
    stopping = TransformersSampler(model, tokenizer)
    (stopped,) = stopping.complete([SampleRequest(PROMPTS[0])], GREEDY)
    assert (stopped.finish_reason, len(stopped.token_ids)) == ("stop", place + 1)
    assert stopped.token_ids == tuple(drawn[: place + 1].tolist())
    assert stopped.text == tokenizer.decode(drawn[:place], skip_special_tokens=True)
    assert (free.finish_reason, len(free.token_ids)) == ("length", 12)


def test_a_prompt_of_token_ids_is_taken_as_it_is(sampler, tokenizer):
    ids = tokenizer(PROMPTS[0])["input_ids"]
    by_text, by_ids = sampler.complete([SampleRequest(PROMPTS[0]), SampleRequest(ids)], GREEDY)
    assert by_text == by_ids


def test_with_a_temperature_a_text_depends_on_its_own_seed_alone(sampler, adapters):
    requests = [SampleRequest(PROMPTS[i % 5], seed=i, adapter=adapters[i % 2]) for i in range(9)]
    texts = sampler.complete(requests, FREE)
    assert len({completion.text for completion in texts}) == 9
    assert sampler.complete(requests[::-1], FREE) == texts[::-1]
    assert sampler.complete(requests[3:4], FREE) == texts[3:4]
    others = [replace(request, seed=100 + request.seed) for request in requests]
    others[3] = requests[3]
    changed = sampler.complete(others, FREE)
    assert [new == old for new, old in zip(changed, texts, strict=True)] == [
        i == 3 for i in range(9)
    ]


def test_greedy_ignores_seeds(sampler):
    one, other = sampler.complete([SampleRequest("The", seed=s) for s in (1, 2)], GREEDY)
    assert one == other


def test_sampling_defaults_of_the_model_are_ignored(tokenizer):
    model = build(tokenizer)
    requests = [SampleRequest(prompt, seed=1) for prompt in PROMPTS]
    plain = TransformersSampler(model, tokenizer).complete(requests, FREE)
    model.generation_config = GenerationConfig(
        do_sample=True, top_k=1, temperature=0.01, repetition_penalty=5.0, max_length=3
    )
    assert TransformersSampler(model, tokenizer).complete(requests, FREE) == plain


def draw(logits, parameters, count):
    generators = [torch.Generator().manual_seed(seed) for seed in range(count)]
    rows = torch.tensor(logits, dtype=torch.float64).log().expand(count, -1)
    return (
        torch.bincount(choose_tokens(rows, parameters, generators), minlength=len(logits)) / count
    )


@pytest.mark.parametrize(
    ("temperature", "top_p", "expected"),
    [
        (1.0, 1.0, [0.1, 0.4, 0.2, 0.3]),
        (0.5, 1.0, [1 / 30, 16 / 30, 4 / 30, 9 / 30]),
        (1.0, 0.69, [0, 4 / 7, 0, 3 / 7]),
        (1.0, 0.71, [0, 4 / 9, 2 / 9, 3 / 9]),
        (1.0, 0.01, [0, 1, 0, 0]),
        (1.0, 0.0, [0, 1, 0, 0]),
        (0.5, 0.52, [0, 1, 0, 0]),  # temperature acts before top-p
    ],
)
def test_tokens_are_drawn_from_the_filtered_distribution(temperature, top_p, expected):
    found = draw([0.1, 0.4, 0.2, 0.3], SamplingParameters(1, temperature, top_p), 4000)
    assert found.tolist() == pytest.approx(expected, abs=0.03)
    assert all((share > 0) == (wanted > 0) for share, wanted in zip(found, expected, strict=True))


def test_logits_that_are_not_numbers_still_give_a_token():
    logits = torch.full((2, 5), torch.nan)
    generators = [torch.Generator(), torch.Generator()]
    for parameters in (GREEDY, FREE, replace(FREE, top_p=0.9)):
        chosen = choose_tokens(logits, parameters, generators)
        assert ((chosen >= 0) & (chosen < 5)).all()


def test_a_text_ends_where_the_models_window_ends(tokenizer):
    model = build(tokenizer)
    model.config.max_position_embeddings = 12
    sampler = TransformersSampler(model, tokenizer)
    short, long = sampler.complete([SampleRequest([1] * 4), SampleRequest([1] * 9)], GREEDY)
    assert (len(short.token_ids), len(long.token_ids)) == (8, 3)
    assert short.finish_reason == long.finish_reason == "length"
    for prompt in ("", [], [1] * 12):
        with pytest.raises(UserError, match="tokens"):
            sampler.complete([SampleRequest(prompt)], GREEDY)


def test_no_requests_have_no_answers(sampler):
    assert sampler.complete([], GREEDY) == []


def test_missing_and_unfit_adapters_are_named(sampler, adapters, tmp_path):
    missing = tmp_path / "missing"
    with pytest.raises(UserError, match=str(missing)):
        sampler.complete([SampleRequest("a", adapter=missing)], GREEDY)
    for number, other in enumerate(
        [small_llama(50, num_hidden_layers=3), small_llama(50, hidden_size=64)]
    ):
        folder = tmp_path / f"other-{number}"
        weights = random_weights(other, ["q_proj"], 2, seed=0)
        write_adapter(folder, weights, rank=2, alpha=4, target_modules=["q_proj"], base_model="")
        requests = [SampleRequest("a", adapter=adapters[0]), SampleRequest("a", adapter=folder)]
        with pytest.raises(UserError, match=str(folder)):
            sampler.complete(requests, GREEDY)
    assert sampler.complete([SampleRequest("a")], GREEDY)[0].token_ids


def test_shared_weights_are_the_same_tensors_in_other_modules(tokenizer):
    model = build(tokenizer).train()
    shared = share_weights(model)
    ours, theirs = dict(model.named_parameters()), dict(shared.named_parameters())
    assert ours.keys() == theirs.keys()
    assert all(theirs[name] is ours[name] for name in ours)
    assert shared.config is not model.config
    assert model.training and not shared.training
    assert not {id(module) for module in model.modules()} & {id(m) for m in shared.modules()}


def test_one_thread_trains_while_another_answers(tokenizer, adapters, tmp_path):
    """Neither sees the other: both find what they find alone."""
    model = build(tokenizer)
    sampler = TransformersSampler(share_weights(model), tokenizer)
    requests = [SampleRequest(PROMPTS[i % 5], i, adapters[i % 2]) for i in range(10)]
    jobs = [random_job(seed, epochs=6) for seed in range(4)]

    def train(name):
        folders = [tmp_path / f"{name}-{number}" for number in range(4)]
        train_adapters(model, jobs, folders, ["q_proj", "v_proj"], slots=2)
        return [adapter_weights(folder) for folder in folders]

    expected = sampler.complete(requests, FREE)
    alone = train("alone")
    answers = []
    thread = threading.Thread(
        target=lambda: answers.extend(sampler.complete(requests, FREE) for _ in range(3))
    )
    thread.start()
    together = train("together")
    thread.join()
    assert answers == [expected] * 3
    for one, other in zip(alone, together, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
