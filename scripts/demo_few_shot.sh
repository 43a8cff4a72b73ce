#!/usr/bin/env bash
# SEAL learning on a small model of invented grid tasks: ReST-EM, the table, what self-edits choose,
# and one task. MODEL is a folder that pretrain_small_model.py wrote; ROUNDS is how many rounds, by
# default one as in the paper, and N_TASKS how many training tasks. Further flags go to rest_em.py.
# CONTROLS adds rows of policies that ignore rewards: "random" imitates the same number of self-edits
# drawn at random, "all" every one.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
# The model is too small for several threads: they would wait for each other most of the time
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
folder="${RUN_DIR:-runs/demo/few-shot}"
world="${MODEL:-few-shot/small_model}"
small=(--config few-shot/presets/small.yaml --seed "${SEED:-0}" --model "$world/model")
m_step=(--config few-shot/presets/small-rest-em.yaml --rounds "${ROUNDS:-1}")
policies=()

rest_em() { # SERIES RUN FLAGS...: ReST-EM in $folder/RUN, for the rows SERIES-1, SERIES-2 and so on
    $python few-shot/rest_em.py "${small[@]}" "${m_step[@]}" \
        --tasks "$world/training_challenges.json" --n_tasks "${N_TASKS:-24}" --run_dir "$folder/$2" "${@:3}"
    for ((round = 1; round <= ${ROUNDS:-1}; round++)); do
        policies+=("$1-$round=$folder/$2/round-$round/sft/model")
    done
}

rest_em round rest-em "$@"
for control in ${CONTROLS:-}; do
    case $control in
        random | all) rest_em "$control" "rest-em-$control" "$@" --selection "$control" ;;
        *) echo "error: CONTROLS has $control; there are random and all" >&2 && exit 2 ;;
    esac
done
$python few-shot/eval_self_edits.py "${small[@]}" \
    --tasks "$world/evaluation_challenges.json" --n_tasks 20 --k 5 --temperature 0.5 \
    --policies "${policies[@]}" \
    --oracle --oracle_file few-shot/small_model/oracle.json --run_dir "$folder/table"
# A task that policies after RL mostly solve
$python few-shot/solve.py "${small[@]}" --model "$folder/rest-em/round-${ROUNDS:-1}/sft/model" \
    --task "$world/evaluation_challenges.json" --test 1 --temperature 0.5 --run_dir "$folder/solve"
