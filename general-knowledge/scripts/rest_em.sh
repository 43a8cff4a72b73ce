#!/usr/bin/env bash
# ReST-EM, both rounds: vLLM samples on GPU 0, LoRA updates run on the last GPU (paper, section 4.1).
set -euo pipefail
exec python general-knowledge/rest_em.py \
    --model "${MODEL:-Qwen/Qwen2.5-7B}" --passages "${PASSAGES:-rajpurkar/squad:train}" \
    --sft_processes "${SFT_PROCESSES:-2}" --run_dir "${RUN_DIR:-runs/rest-em}" "$@"
