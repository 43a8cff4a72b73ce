#!/usr/bin/env bash
# The paper's single-passage table from scratch: ReST-EM, then all rows beside each other.
# Further flags go to both programs, so give here only what both have (--sampler, --judge, ...).
set -euo pipefail
folder="${RUN_DIR:-runs/single-passage-table}"
model="${MODEL:-Qwen/Qwen2.5-7B}"
python general-knowledge/rest_em.py \
    --model "$model" --passages "${PASSAGES:-rajpurkar/squad:train}" \
    --sft_processes "${SFT_PROCESSES:-2}" --run_dir "$folder/rest-em" "$@"
python general-knowledge/eval_single_passage.py \
    --model "$model" --passages "${EVAL_PASSAGES:-rajpurkar/squad:validation}" \
    --policies "seal-1=$folder/rest-em/round-1/sft/model" "seal-2=$folder/rest-em/round-2/sft/model" \
    --run_dir "$folder/table" "$@"
