#!/usr/bin/env bash
# Run the demo, ReST-EM on SQuAD passages and ReST-EM on ARC tasks in two checkouts, and compare every
# results.json byte for byte. Where a checkout has results already, they are used.
#   bash tests/support/same_results.sh BEFORE AFTER    two checkouts; each may have a .venv of its own
# SEAL_DATA is the folder with squad/ and arc/; PYTHON is the interpreter for both, by default their own.
set -euo pipefail
before=$(cd "$1" && pwd) after=$(cd "$2" && pwd)
data=$(cd "${SEAL_DATA:-$after/../shared/data}" && pwd)
export OMP_NUM_THREADS=1
folder=runs/same-results # in either checkout; run folders name no checkout in their results

run_all() { # the same commands in either checkout
    cd "$1"
    local python=${PYTHON:-$PWD/.venv/bin/python}
    export PYTHONPATH=$PWD
    [ -f $folder/done ] && return
    for domain in knowledge few_shot; do
        PYTHON=$python RUN_DIR=$folder/demo-$domain bash "scripts/demo_$domain.sh"
    done
    $python general-knowledge/make_untrained_model.py --output $folder/random-model \
        --passages "$data/squad/squad_train_100.json"
    $python general-knowledge/rest_em.py --model $folder/random-model --dtype float32 \
        --sampler transformers --passages "$data/squad/squad_train_100.json" --n_passages 8 --k 2 \
        --n_validation 4 --repeats 2 --max_new_tokens 48 --max_answer_tokens 12 --run_dir $folder/squad
    $python few-shot/make_small_model.py --output $folder/small-arc --format_steps 60 \
        --tasks "$data/arc/arc-agi_training_challenges.json" --n_tasks 4
    $python few-shot/rest_em.py --model $folder/small-arc --dtype float32 --sampler transformers \
        --tasks "$data/arc/arc-agi_training_challenges.json" --task_ids small-grids-training \
        --n_tasks 3 --k 4 --temperature 1.2 --max_attempts 3 --max_answer_tokens 40 --max_items 12 \
        --n_permutations 0 --lora_rank 8 --lora_alpha 64 --warmup_steps 2 --slots 3 --rounds 2 \
        --sft_epochs 2 --run_dir $folder/arc
    touch $folder/done
}

for checkout in "$before" "$after"; do
    (run_all "$checkout") > "${TMPDIR:-/tmp}/same-results.log" 2>&1 ||
        { tail -n 20 "${TMPDIR:-/tmp}/same-results.log" && exit 1; }
done
cd "$before/$folder"
compared=0
while IFS= read -r file; do
    cmp "$file" "$after/$folder/$file"
    printf 'equal  %s  %s\n' "$(sha256sum < "$file" | cut -c 1-12)" "$file"
    compared=$((compared + 1))
done < <(find . -name results.json | sort)
[ "$compared" -gt 0 ]
echo "$compared results.json are equal byte for byte"
