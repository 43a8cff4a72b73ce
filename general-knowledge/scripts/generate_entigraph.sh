#!/usr/bin/env bash
# EntiGraph for the 200 evaluation passages, for continued pretraining (paper v2, CPT table).
set -euo pipefail
exec python general-knowledge/generate_entigraph.py \
    --model "${MODEL:-Qwen/Qwen2.5-7B}" --passages "${PASSAGES:-rajpurkar/squad:validation}" \
    --round 0 --n_passages 200 --relations pairs+triples --writer openai \
    --run_dir "${RUN_DIR:-runs/entigraph}" "$@"
