# make demo    set up and compare two designs: verdicts, the counterexample, its picture
# make test    set up and run every check; "make test-slow" runs the long sweeps
PYTHON ?= python3
JOBS   ?= 2

VENV := .venv
BIN  := $(VENV)/bin
# compat: type checkers follow the installed package from design files kept elsewhere
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
           --config-settings editable_mode=compat

.DEFAULT_GOAL := test
.PHONY: demo test test-slow clean
.NOTPARALLEL:

demo: $(VENV)/runtime.stamp
	$(BIN)/mapproof review kaiser-v1 kaiser-v2 --graph kaiser-v1.svg

test: $(VENV)/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/pytest -n $(JOBS) --dist loadgroup

test-slow: $(VENV)/dev.stamp
	$(BIN)/pytest -n $(JOBS) --dist loadgroup -m slow

clean:
	rm -rf $(VENV) build dist *.egg-info kaiser-v1.svg \
	       .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# "activate" is the last file that venv writes: it is missing if the set-up broke off.
$(BIN)/activate:
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime.stamp: pyproject.toml setup.py | $(BIN)/activate
	$(INSTALL) -e .
	touch $@

$(VENV)/dev.stamp: pyproject.toml setup.py | $(BIN)/activate
	$(INSTALL) -e '.[dev]'
	touch $@ $(VENV)/runtime.stamp
