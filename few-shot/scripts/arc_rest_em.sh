#!/usr/bin/env bash
# ReST-EM on the 11 training tasks, one round (paper, section 4.2).
set -euo pipefail
exec python few-shot/rest_em.py \
    --model "${MODEL:-meta-llama/Llama-3.2-1B-Instruct}" \
    --tasks "${TASKS:-ARC-AGI/data/training}" --task_ids paper-training \
    --run_dir "${RUN_DIR:-runs/arc-rest-em}" "$@"
