#!/usr/bin/env bash
# The few-shot numbers of docs/small-models.md from scratch: a second model is pre-trained, then SEAL
# runs on it and on the shipped one with five seeds each, one of them with controls. Run again, it
# goes on where it was stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
# The model is too small for several threads: they would wait for each other most of the time
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
folder=runs/small-models/few-shot
export N_TASKS=40

all_seeds() { # NAME MODEL CONTROLS: five seeds in $folder/NAME/seed-N, and their summary beside them
    SEED=2 CONTROLS=$3 MODEL=$2 RUN_DIR=$folder/$1/seed-2 bash scripts/demo_few_shot.sh
    for seed in 3 4 5 6; do
        SEED=$seed MODEL=$2 RUN_DIR=$folder/$1/seed-$seed bash scripts/demo_few_shot.sh
    done
    $python scripts/summarize_seeds.py --few_shot $folder/$1/seed-{2,3,4,5,6} --output $folder/$1
}

# Nothing is chosen on this model, so it needs only the tasks that are drawn from
$python few-shot/pretrain_small_model.py --seed 1 --run_dir $folder/pretraining-1 \
    --training_tasks 48 --validation_tasks 1 --evaluation_tasks 32
all_seeds model-0 few-shot/small_model "random all"
all_seeds model-1 $folder/pretraining-1 ""
