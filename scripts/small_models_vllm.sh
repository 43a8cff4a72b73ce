#!/usr/bin/env bash
# The tables of one seed on the shipped small models, answered by a vLLM server. Run it after
# scripts/small_models_*.sh, as it uses their policies. VLLM_COMMAND starts the server on a CPU.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
# The model is too small for several threads: they would wait for each other most of the time
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
folder="${RUN_DIR:-runs/small-models}"
server=(--seed 2 --sampler vllm ${VLLM_COMMAND:+--vllm_command "$VLLM_COMMAND"})
rounds="$folder/knowledge/model-0/seed-2/rest-em"
round="$folder/few-shot/model-0/seed-2/rest-em/round-1"

$python general-knowledge/eval_single_passage.py --config general-knowledge/presets/small.yaml \
    "${server[@]}" --model general-knowledge/small_model/model --n_passages 80 \
    --passages general-knowledge/small_model/evaluation.json \
    --policies "round-1=$rounds/round-1/sft/model" "round-2=$rounds/round-2/sft/model" \
    --run_dir "$folder/knowledge/vllm-table"
$python few-shot/eval_self_edits.py --config few-shot/presets/small.yaml \
    "${server[@]}" --model few-shot/small_model/model --n_tasks 20 --k 5 --temperature 0.5 \
    --tasks few-shot/small_model/evaluation_challenges.json \
    --policies "round-1=$round/sft/model" \
    --oracle --oracle_file few-shot/small_model/oracle.json --run_dir "$folder/few-shot/vllm-table"
