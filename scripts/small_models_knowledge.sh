#!/usr/bin/env bash
# The knowledge numbers of docs/small-models.md from scratch: a second model is pre-trained, then SEAL
# runs on it and on the shipped one with five seeds each, two of them with controls. Run again, it
# goes on where it was stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
# The model is too small for several threads: they would wait for each other most of the time
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
folder=runs/small-models/knowledge

all_seeds() { # NAME MODEL: five seeds in $folder/NAME/seed-N, and their summary beside them
    SEED=2 CONTROLS="repeated random all" MODEL=$2 RUN_DIR=$folder/$1/seed-2 bash scripts/demo_knowledge.sh
    SEED=3 CONTROLS="repeated random" MODEL=$2 RUN_DIR=$folder/$1/seed-3 bash scripts/demo_knowledge.sh
    for seed in 4 5 6; do
        SEED=$seed MODEL=$2 RUN_DIR=$folder/$1/seed-$seed bash scripts/demo_knowledge.sh
    done
    $python scripts/summarize_seeds.py --knowledge $folder/$1/seed-{2,3,4,5,6} --output $folder/$1
}

$python general-knowledge/pretrain_small_model.py --seed 1 --run_dir $folder/pretraining-1
all_seeds model-0 general-knowledge/small_model
all_seeds model-1 $folder/pretraining-1
