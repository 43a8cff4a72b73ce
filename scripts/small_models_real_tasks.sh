#!/usr/bin/env bash
# The small model of grid tasks on real ones: those of ARC that fit its canvas, in context and after
# hand-made test-time training, with three seeds. TASKS and EVAL_TASKS are as in few-shot/scripts.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
# The model is too small for several threads: they would wait for each other most of the time
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
folder="${RUN_DIR:-runs/small-models/real-tasks}"
world="${MODEL:-few-shot/small_model}"
small=(--config few-shot/presets/small.yaml --model "$world/model")

solve() { # SPLIT TASKS: all three seeds
    for seed in 2 3 4; do
        $python few-shot/eval_self_edits.py "${small[@]}" --seed "$seed" --k 1 --tasks "$2" \
            --task_ids "small-grids-$1" --self_edits oracle \
            --oracle_file few-shot/small_model/oracle.json --run_dir "$folder/$1-$seed"
    done
}

solve training "${TASKS:-ARC-AGI/data/training}"
solve evaluation "${EVAL_TASKS:-ARC-AGI/data/evaluation}"
