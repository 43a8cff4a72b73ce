#!/usr/bin/env bash
# E-step, first half: 5 self-edits for each of round 1's 50 passages (paper, section 4.1).
set -euo pipefail
exec python general-knowledge/generate_self_edits.py \
    --model "${MODEL:-Qwen/Qwen2.5-7B}" --passages "${PASSAGES:-rajpurkar/squad:train}" \
    --run_dir "${RUN_DIR:-runs/self-edits}" "$@"
