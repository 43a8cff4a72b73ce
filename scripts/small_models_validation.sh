#!/usr/bin/env bash
# The run that confirmed the few-shot settings of the small model: one round with a seed of its own,
# then the validation tasks, for the shipped model and for its policy after RL.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
# The model is too small for several threads: they would wait for each other most of the time
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
folder="${RUN_DIR:-runs/small-models/few-shot/validation}"
world=few-shot/small_model
small=(--config few-shot/presets/small.yaml --seed 100)

$python few-shot/rest_em.py "${small[@]}" --config few-shot/presets/small-rest-em.yaml \
    --model $world/model --tasks $world/training_challenges.json --n_tasks 48 \
    --run_dir "$folder/rest-em"

table() { # NAME MODEL: in context, on its own self-edits and on the hand-made configuration
    $python few-shot/eval_self_edits.py "${small[@]}" --model "$2" --k 4 --temperature 0.5 \
        --tasks $world/validation_challenges.json --oracle \
        --oracle_file $world/oracle.json --run_dir "$folder/$1"
}

table before $world/model
table after "$folder/rest-em/round-1/sft/model"
