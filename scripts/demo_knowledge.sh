#!/usr/bin/env bash
# SEAL learning on a small model of an invented world: two rounds of ReST-EM, then the table, then
# how its self-edits became better.
# MODEL is a folder that pretrain_small_model.py wrote. Further flags go to rest_em.py. CONTROLS adds
# rows: "repeated" trains on the passage alone, for the steps of a long self-edit; "random" and
# "all" are policies that ignore rewards: they imitate one self-edit per passage drawn at random, or
# all five.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
# The model is too small for several threads: they would wait for each other most of the time
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
folder="${RUN_DIR:-runs/demo/knowledge}"
world="${MODEL:-general-knowledge/small_model}"
small=(--config general-knowledge/presets/small.yaml --seed "${SEED:-0}" --model "$world/model")
m_step=(--config general-knowledge/presets/small-rest-em.yaml)
rows=()
policies=()
repeated=()
files=("oracle=$world/oracle.jsonl")

rest_em() { # SERIES RUN FLAGS...: two rounds in $folder/RUN, for the rows SERIES-1 and SERIES-2
    $python general-knowledge/rest_em.py "${small[@]}" "${m_step[@]}" \
        --passages "$world/training.json" --run_dir "$folder/$2" "${@:3}"
    rows+=("$1-1" "$1-2")
    policies+=("$1-1=$folder/$2/round-1/sft/model" "$1-2=$folder/$2/round-2/sft/model")
}

rest_em round rest-em "$@"
for control in ${CONTROLS:-}; do
    case $control in
        random) rest_em random rest-em-random "$@" --selection random ;;
        all) rest_em all rest-em-all "$@" --keep 5 ;;
        repeated)
            repeated=(passage-repeated)
            files+=("passage-repeated=$world/passage-repeated.jsonl")
            ;;
        *) echo "error: CONTROLS has $control; there are repeated, random, all" >&2 && exit 2 ;;
    esac
done
$python general-knowledge/eval_single_passage.py "${small[@]}" \
    --passages "$world/evaluation.json" --n_passages 80 --policies "${policies[@]}" \
    --self_edit_files "${files[@]}" \
    --order no-update passage-only self-edits "${rows[@]}" "${repeated[@]}" oracle \
    --run_dir "$folder/table"
$python general-knowledge/show_self_edits.py --table "$folder/table" \
    --passages "$world/evaluation.json" --compare self-edits round-2
