#!/usr/bin/env bash
# What `make demo` runs: both loops of SEAL in both domains, with small models that know nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
# The model is too small for several threads: they would wait for each other most of the time
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
passages=general-knowledge/examples/passages.json
small=(--model runs/demo/model --dtype float32 --sampler transformers --no_shuffle
    --passages "$passages" --max_new_tokens 48 --max_answer_tokens 16)

$python general-knowledge/make_untrained_model.py --passages "$passages" --output runs/demo/model
$python general-knowledge/rest_em.py "${small[@]}" \
    --n_passages 4 --k 3 --repeats 2 --rounds 2 --run_dir runs/demo/rest-em "$@"
$python general-knowledge/eval_single_passage.py "${small[@]}" \
    --n_passages 8 --policies "seal=runs/demo/rest-em/round-2/sft/model" --run_dir runs/demo/table

tasks=few-shot/examples
small=(--model runs/demo/arc-model --dtype float32 --sampler transformers --lora_rank 8
    --warmup_steps 2 --max_items 20 --max_answer_tokens 100)
$python few-shot/make_small_model.py --tasks "$tasks" --output runs/demo/arc-model
$python few-shot/rest_em.py "${small[@]}" --tasks "$tasks" --k 3 --run_dir runs/demo/arc-rest-em
$python few-shot/solve.py "${small[@]}" --task "$tasks/color-of-three-corners.json" --k 5 \
    --run_dir runs/demo/solve
cat <<'END'

The models above know nothing: the first cannot read, write or answer, the second only knows how a
self-edit looks. Accuracies and success near 0 are what they should show. This was a check that the
loops run here; see README.md for real models.
END
