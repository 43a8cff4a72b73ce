#!/usr/bin/env bash
# ReST-EM with GPT-4.1's marks in place of inner loops, then the single-passage table (paper v2).
# Further flags go to both programs, so give here only what both have (--sampler, --judge_url, ...).
set -euo pipefail
folder="${RUN_DIR:-runs/proxy-reward}"
model="${MODEL:-Qwen/Qwen2.5-7B}"
python general-knowledge/rest_em.py \
    --model "$model" --passages "${PASSAGES:-rajpurkar/squad:train}" --reward proxy --judge openai \
    --sft_processes "${SFT_PROCESSES:-2}" --run_dir "$folder/rest-em" "$@"
python general-knowledge/eval_single_passage.py \
    --model "$model" --passages "${EVAL_PASSAGES:-rajpurkar/squad:validation}" --judge openai \
    --policies "proxy-1=$folder/rest-em/round-1/sft/model" \
    "proxy-2=$folder/rest-em/round-2/sft/model" \
    --run_dir "$folder/table" "$@"
