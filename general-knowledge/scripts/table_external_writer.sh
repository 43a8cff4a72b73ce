#!/usr/bin/env bash
# The single-passage table with the row of GPT-4.1's self-edits: it writes them, the policy learns.
# Further flags go to both programs, so give here only what both have (--prompt_kind, --seed, ...).
set -euo pipefail
folder="${RUN_DIR:-runs/external-writer}"
model="${MODEL:-Qwen/Qwen2.5-7B}"
passages="${PASSAGES:-rajpurkar/squad:validation}"
python general-knowledge/generate_self_edits.py \
    --model "$model" --passages "$passages" --round 0 --n_passages 200 --k 1 --writer openai \
    --run_dir "$folder/self-edits" "$@"
python general-knowledge/eval_single_passage.py \
    --model "$model" --passages "$passages" --judge openai \
    --self_edit_files "gpt-4.1=$folder/self-edits/self_edits.jsonl" \
    --run_dir "$folder/table" "$@"
