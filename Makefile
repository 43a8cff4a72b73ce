# `make demo` and `make test` do everything on a fresh machine; see README.md.
# While you edit: `make check`, style and the tests that start no program, in two minutes.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# The GPU pins (with vLLM) where there is a GPU, else the same packages without it
REQUIREMENTS := $(if $(shell command -v nvidia-smi 2>/dev/null),requirements.txt,requirements-cpu.txt)

# Small models compute faster in one thread than in several that wait for each other
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses=auto --dist=loadscope --no-loadscope-reorder

.PHONY: demo demo-knowledge demo-few-shot check test lint install clean

demo: $(VENV)/.installed
	bash scripts/demo.sh

demo-knowledge: $(VENV)/.installed
	RUN_DIR=runs/demo/knowledge bash scripts/demo_knowledge.sh
	$(RUN) scripts/summarize_seeds.py --knowledge runs/demo/knowledge --output runs/demo

demo-few-shot: $(VENV)/.installed
	RUN_DIR=runs/demo/few-shot bash scripts/demo_few_shot.sh
	$(RUN) scripts/summarize_seeds.py --few_shot runs/demo/few-shot --output runs/demo

check: lint
	$(PYTEST) -m "not slow"

test: $(VENV)/.installed
	$(PYTEST)

lint: $(VENV)/.installed
	$(RUN) -m ruff check --no-cache .
	$(RUN) -m ruff format --check --no-cache .

install: $(VENV)/.installed

$(VENV)/.installed: requirements.txt requirements-cpu.txt requirements-dev.txt pyproject.toml
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --requirement $(REQUIREMENTS) --requirement requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) .venv-vllm .pytest_cache .ruff_cache
