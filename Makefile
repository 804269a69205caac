# `make demo` sets up and runs the main job on the simulated rig; `make test` sets up and passes the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_SECONDS ?= 60
DEMO_DIR ?= demo_out
TRACK ?=
STAMP := $(VENV)/.installed

# A host stall of 30 ms loses bytes on a pty and fails whichever real-time test it hits: what failed runs once more, alone.
AGAIN = $(BIN)/python -m pytest --last-failed --last-failed-no-failures none --benchmark-skip

# Lock-step: nothing in it waits for the clock, so it may share the machine.
TWINS = hil_tests/test_matrix_lockstep.py

.PHONY: demo test lint bench hil clean

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "gimbal needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another with make PYTHON=/path/to/python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[test]'
	@touch $@

demo: $(STAMP)
	$(BIN)/python -m gimbal demo --seconds $(DEMO_SECONDS) --out $(DEMO_DIR) $(if $(TRACK),--track $(TRACK))

test: $(STAMP) lint
	$(BIN)/python -m gimbal warmup
	$(BIN)/python -m pytest tests $(TWINS) -n 2 --dist loadfile --benchmark-skip || $(AGAIN) tests $(TWINS)
	$(BIN)/python -m pytest hil_tests --ignore $(TWINS) -m "not whole" --benchmark-skip || $(AGAIN) hil_tests

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

hil: $(STAMP)
	$(BIN)/python -m gimbal warmup
	$(BIN)/python -m hil_tests.matrix --out hil_results.json --doc docs/fault-matrix.md
	$(BIN)/python -m pytest hil_tests --benchmark-skip --ignore $(TWINS) --ignore hil_tests/test_matrix_realtime.py

bench: $(STAMP)
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only

clean:
	rm -rf $(VENV) $(DEMO_DIR) build *.egg-info
