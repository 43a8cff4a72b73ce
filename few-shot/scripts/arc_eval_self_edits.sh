#!/usr/bin/env bash
# The few-shot table for one model: in context, and its own 5 self-edits for each of the 8 tasks.
set -euo pipefail
exec python few-shot/eval_self_edits.py \
    --model "${MODEL:-meta-llama/Llama-3.2-1B-Instruct}" \
    --tasks "${EVAL_TASKS:-ARC-AGI/data/evaluation}" --task_ids paper-evaluation \
    --run_dir "${RUN_DIR:-runs/arc-eval}" "$@"
