# Sourced by the wrappers in the repository's root: the programs' Python, and the CPUs of their step.
export PATH="$(realpath "${VENV:-.venv}")/bin:$PATH"
# Since Slurm 22.05 a step is not given the job's CPUs of its own accord
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"
