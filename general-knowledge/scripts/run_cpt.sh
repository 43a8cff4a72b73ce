#!/usr/bin/env bash
# Continued pretraining, the paper's second version: every weight is finetuned, shared by 2 GPUs.
# The first version: --method lora --passage_copies with-each --epochs 3 --learning_rate 1e-3
# --warmup_ratio 0 --n_questions 0; its row of passages alone has --k 0 --learning_rate 1e-4.
set -euo pipefail
exec python general-knowledge/run_cpt.py \
    --model "${MODEL:-Qwen/Qwen2.5-7B}" --passages "${PASSAGES:-rajpurkar/squad:validation}" \
    --self_edits "${SELF_EDITS:-runs/self-edits/self_edits.jsonl}" --processes "${PROCESSES:-2}" \
    --run_dir "${RUN_DIR:-runs/cpt}" "$@"
