#!/usr/bin/env bash
# The paper's few-shot table from scratch: ReST-EM, then all rows beside each other.
# Further flags go to both programs, so give here only what both have (--sampler, --slots, ...).
set -euo pipefail
folder="${RUN_DIR:-runs/arc-table}"
model="${MODEL:-meta-llama/Llama-3.2-1B-Instruct}"
python few-shot/rest_em.py \
    --model "$model" --tasks "${TASKS:-ARC-AGI/data/training}" --task_ids paper-training \
    --run_dir "$folder/rest-em" "$@"
python few-shot/eval_self_edits.py \
    --model "$model" --tasks "${EVAL_TASKS:-ARC-AGI/data/evaluation}" --task_ids paper-evaluation \
    --policies "seal=$folder/rest-em/round-1/sft/model" --oracle --run_dir "$folder/table" "$@"
