#!/usr/bin/env bash
# What `make demo` runs: both loops of SEAL on the example passages, with an untrained small model.
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
cat <<'END'

The model above is untrained: it cannot read, write or answer, so accuracies of 0 are what it should
show. This was a check that the loops run here; see README.md for a real model.
END
