#!/usr/bin/env bash
# E-step, second half: an inner loop and a reward for every self-edit (paper, section 4.2).
set -euo pipefail
exec python few-shot/run_inner_loop.py \
    --model "${MODEL:-meta-llama/Llama-3.2-1B-Instruct}" \
    --tasks "${TASKS:-ARC-AGI/data/training}" --task_ids paper-training \
    --self_edits "${SELF_EDITS:-runs/arc-self-edits/self_edits.jsonl}" \
    --run_dir "${RUN_DIR:-runs/arc-rewards}" "$@"
