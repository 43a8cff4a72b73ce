#!/usr/bin/env bash
# E-step, second half: 3 inner loops per self-edit, rewards and selection (paper, section 4.1).
set -euo pipefail
exec python general-knowledge/run_inner_loop.py \
    --model "${MODEL:-Qwen/Qwen2.5-7B}" --passages "${PASSAGES:-rajpurkar/squad:train}" \
    --self_edits "${SELF_EDITS:-runs/self-edits/self_edits.jsonl}" \
    --run_dir "${RUN_DIR:-runs/rewards}" "$@"
