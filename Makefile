# Everything in an environment of its own, .venv; needs Python >= 3.11, make and a C++ compiler.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo test lint nightly bench clean
.NOTPARALLEL:

help:
	@echo "make demo     set up, then run LeNet-5 on the generated netlist"
	@echo "make test     set up, then lint, types and all tests"
	@echo "make lint     lint, formatting and types alone"
	@echo "make nightly  the long checks: all 10,000 test images, every simulator at full size"
	@echo "make bench    speed and memory, as ratios, into out/bench.json"
	@echo "make clean    remove .venv and what the tools left here"

demo: $(VENV)/installed
	$(BIN)/ohmweave run lenet5

test: $(VENV)/installed-test
	$(BIN)/python scripts/lint.py
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/installed-test
	$(BIN)/python scripts/lint.py

nightly: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2 -m nightly
	$(BIN)/ohmweave fetch mnist
	$(BIN)/ohmweave run lenet5 --images mnist --jobs 2 --out out/nightly-cxxrtl
	$(BIN)/ohmweave run lenet5 --limit 100 --backend verilator --out out/nightly-verilator
	if command -v iverilog; then $(BIN)/ohmweave run lenet5 --limit 2 --backend icarus --out out/nightly-icarus; fi
	$(BIN)/ohmweave run lenet5 --limit 1 --backend pysim --out out/nightly-pysim

bench: $(VENV)/installed-test
	$(BIN)/ohmweave bench --out out

# A file of each step: a second call finds it newer than what it depends on and does nothing.
$(VENV)/made:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("ohmweave needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/installed: pyproject.toml $(VENV)/made
	$(PIP) install --editable .
	touch $@

$(VENV)/installed-test: pyproject.toml $(VENV)/made
	$(PIP) install --editable '.[test]'
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build dist out *.egg-info .mypy_cache .ruff_cache .pytest_cache
