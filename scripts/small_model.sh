#!/usr/bin/env bash
# SEAL learning on the small model of an invented world: two rounds of ReST-EM, then the table.
# Further flags go to rest_em.py, such as --selection random for the control.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
# The model is too small for several threads: they would wait for each other most of the time
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
folder="${RUN_DIR:-runs/small-model}"
world=general-knowledge/small_model
small=($(cat general-knowledge/presets/small.args) --seed "${SEED:-0}" --model "$world/model")
m_step=($(cat general-knowledge/presets/small-rest-em.args))

$python general-knowledge/rest_em.py "${small[@]}" "${m_step[@]}" \
    --passages "$world/training.json" --run_dir "$folder/rest-em" "$@"
$python general-knowledge/eval_single_passage.py "${small[@]}" \
    --passages "$world/evaluation.json" --no_shuffle --n_passages 80 \
    --policies "round-1=$folder/rest-em/round-1/sft/model" \
    "round-2=$folder/rest-em/round-2/sft/model" --run_dir "$folder/table"
