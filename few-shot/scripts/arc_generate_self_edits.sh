#!/usr/bin/env bash
# E-step, first half: 15 self-edits for each of the 11 training tasks (paper, section 4.2).
set -euo pipefail
exec python few-shot/generate_self_edits.py \
    --model "${MODEL:-meta-llama/Llama-3.2-1B-Instruct}" \
    --tasks "${TASKS:-ARC-AGI/data/training}" --task_ids paper-training \
    --run_dir "${RUN_DIR:-runs/arc-self-edits}" "$@"
