#!/usr/bin/env bash
# What `make demo` runs: SEAL learning on a small model of an invented world, then its few-shot loop
# on example tasks with a small model that knows nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
# The models are too small for several threads: they would wait for each other most of the time
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

RUN_DIR=runs/demo/small-model bash scripts/small_model.sh "$@"

tasks=few-shot/examples
small=(--model runs/demo/arc-model --dtype float32 --sampler transformers --lora_rank 8
    --warmup_steps 2 --max_items 20 --max_answer_tokens 100)
$python few-shot/make_small_model.py --tasks "$tasks" --output runs/demo/arc-model
$python few-shot/rest_em.py "${small[@]}" --tasks "$tasks" --k 3 --run_dir runs/demo/arc-rest-em
$python few-shot/solve.py "${small[@]}" --task "$tasks/color-of-three-corners.json" --k 5 \
    --run_dir runs/demo/solve
cat <<'END'

The table above is of a model of 1.1 million weights and of people who do not exist: its self-edits
teach it what it could not know, and it learned by reward to write better ones. The second model only
knows how a self-edit looks, so that it solves nothing. Neither says anything about language models;
see README.md for real ones.
END
