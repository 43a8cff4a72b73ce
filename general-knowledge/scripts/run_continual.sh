#!/usr/bin/env bash
# 64 sequences of 8 self-edits. The paper's policy is SEAL after 2 rounds: name it in MODEL.
set -euo pipefail
exec python general-knowledge/run_continual.py \
    --model "${MODEL:-Qwen/Qwen2.5-7B}" --passages "${PASSAGES:-rajpurkar/squad:validation}" \
    --run_dir "${RUN_DIR:-runs/continual}" "$@"
