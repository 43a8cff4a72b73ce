#!/usr/bin/env bash
# What `make demo` runs: SEAL learning on a small model of each domain, side by side, then what both
# have found.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

demo() { # NAME SCRIPT: every line of its output after NAME, of a progress bar what it ended with
    RUN_DIR=runs/demo/$1 bash "$2" 2>&1 | while IFS= read -r line || [[ $line ]]; do
        printf '%-9s  %s\n' "$1" "${line##*$'\r'}"
    done
}
export -f demo
export PYTHONUNBUFFERED=1 # or a program's lines come through the pipe when it has ended
# Not `&`, which would have them outlive an interrupt
printf '%s\n' knowledge scripts/demo_knowledge.sh few-shot scripts/demo_few_shot.sh |
    xargs -P 2 -n 2 bash -eo pipefail -c 'demo "$@"' bash

printf '\n'
$python scripts/summarize_seeds.py --knowledge runs/demo/knowledge --few_shot runs/demo/few-shot \
    --output runs/demo
cat <<'END'
Look further, in runs/demo:
  summary.md, rounds-general-knowledge.png, rounds-few-shot.png    the tables above, accuracy by round
  knowledge/table/table.md, few-shot/table/table.md                the tables with 95% intervals
  knowledge/table/styles.md, few-shot/table/knobs.md               how self-edits change by RL
  knowledge/table/ROW/self_edits.jsonl, and of few-shot            what the policy of a row wrote
  few-shot/solve/task.png                                          a task before and after training
  knowledge/rest-em/round-2/sft/model                              that policy after two rounds

Both models are small and know nothing but an invented world: they show the method at work, and say
nothing about language models. See README.md for real ones, and docs/small-models.md for more seeds.
END
