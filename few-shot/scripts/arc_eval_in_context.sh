#!/usr/bin/env bash
# The few-shot table's first row alone: the 8 held-out tasks without any update.
set -euo pipefail
exec python few-shot/eval_in_context.py \
    --model "${MODEL:-meta-llama/Llama-3.2-1B-Instruct}" \
    --tasks "${EVAL_TASKS:-ARC-AGI/data/evaluation}" --task_ids paper-evaluation \
    --run_dir "${RUN_DIR:-runs/arc-in-context}" "$@"
