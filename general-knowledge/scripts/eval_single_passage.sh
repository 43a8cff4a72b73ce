#!/usr/bin/env bash
# The single-passage table for one model: no update, passage only, its own self-edits.
set -euo pipefail
exec python general-knowledge/eval_single_passage.py \
    --model "${MODEL:-Qwen/Qwen2.5-7B}" --passages "${PASSAGES:-rajpurkar/squad:validation}" \
    --run_dir "${RUN_DIR:-runs/single-passage}" "$@"
