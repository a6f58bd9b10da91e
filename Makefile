# Everything happens in an environment of its own; nothing is installed elsewhere.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
STAMP := $(VENV)/.installed

.PHONY: demo test lint docs links bench clean

demo: $(STAMP)
	$(VENV)/bin/counterforensics run demo --out runs/demo

# Two processes, as on two cores; the tests of a file stay together and share what they set up.
test: lint docs
	$(RUN) pytest --numprocesses 2 --dist loadfile

lint: $(STAMP)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(VENV)/bin/lint-imports

docs: $(STAMP)
	$(RUN) sphinx --builder html --conf-dir docs --fail-on-warning --keep-going --quiet . site

links: $(STAMP)
	$(RUN) sphinx --builder linkcheck --conf-dir docs --keep-going --quiet . site/links

bench: $(STAMP)
	mkdir -p runs
	OMP_WAIT_POLICY=passive $(RUN) benchmarks --json runs/benchmarks.json

$(STAMP): pyproject.toml constraints.txt oracles.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --constraint constraints.txt torch
	$(RUN) pip install --quiet --constraint constraints.txt --editable ".[docs,test]"
	$(RUN) pip install --quiet --no-deps --requirement oracles.txt
	touch $@

clean:
	rm -rf $(VENV) runs site docs/api .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
