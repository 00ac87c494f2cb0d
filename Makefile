# Every target does its own set-up from a bare checkout.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= artifacts
MODEL ?= neonext_t
CHECKPOINT ?=
CODE := neonext_ascend tests benchmarks tools examples experiments
# Pytest workers: as many as cores, at most four.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -gt 4 ] && echo 4 || echo $$n)

.PHONY: install export test lint types floors unit coverage container environments timm clusters versions kernels fuzz bench experiments docs pages clean

install: $(BIN)/.installed
$(BIN)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[report,serve,train]'
	touch $@

$(BIN)/.developing: $(BIN)/.installed
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

$(BIN)/.documenting: $(BIN)/.installed
	$(BIN)/python -m pip install --quiet --group docs
	touch $@

export: install
	$(BIN)/neonext-ascend export neonext_nano -o $(OUT)
	$(BIN)/neonext-ascend export $(MODEL) $(if $(CHECKPOINT),--checkpoint $(CHECKPOINT)) -o $(OUT)
	$(BIN)/neonext-ascend predict $(OUT)/neonext_nano-96-b1-fp32.onnx neonext_ascend/data/samples/digit_3.png --top 3

test: $(BIN)/.developing
	@$(MAKE) --no-print-directory lint types floors unit

lint:
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types:
	$(BIN)/mypy $(CODE)

floors:
	$(BIN)/lint-imports

unit:
	$(BIN)/python -m pytest -n $(WORKERS) tests

# The same tests, and the lines that none of them runs.
coverage: $(BIN)/.developing
	$(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term:skip-covered tests

# The image, built and run on a base of Debian packages: root on Debian, else one line says why not.
container: $(BIN)/.developing
	$(BIN)/python -m tests.container

# The real torch_npu and onnxruntime-cann without CANN, timm, Triton's and KServe's clients, each in a virtual environment of its own.
environments: $(BIN)/.developing
	$(BIN)/python -m tests.environments.check

# KServe's client and models, and Ray with two nodes on this machine, killed and scaled; twelve minutes with the installation.
clusters: $(BIN)/.developing
	$(BIN)/python -m tests.environments.check kserve ray

# timm alone, without its dependencies: it would bring another torch.
timm: $(BIN)/.developing
	$(BIN)/python -m tests.environments.check timm

# The tests of five rooms on every torch and Python that pyproject.toml declares; TORCH=2.8.0 for one of them.
versions: $(BIN)/.developing
	$(BIN)/python -m tests.environments.versions $(TORCH)

# The fused kernel in the vendor's interpreter and through its compiler, in a virtual environment of its own.
kernels: $(BIN)/.developing
	$(BIN)/python -m tests.vendor_compiler.check

# Damaged files through every reader: SECONDS in all, with another seed each time or SEED; what fails joins the corpus.
SECONDS ?= 60
SEED ?=
fuzz: $(BIN)/.developing
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

# Every figure of docs/benchmarks.md, measured again, and the page.
bench: $(BIN)/.developing
	$(BIN)/python -m benchmarks.run

# The paper's results that fit in half an hour on two cores; docs/experiments.md tells what came out.
experiments: $(BIN)/.developing
	$(BIN)/python -m experiments

# The pages as a site in build/site, without a warning and without a broken link.
docs: $(BIN)/.documenting
	$(BIN)/python -m tools.build_site

# The site in a browser; where there is none, and no root on Debian to install one, one line says why not.
pages: docs
	$(BIN)/python -m tests.pages.check

clean:
	rm -rf $(VENV) .versions $(OUT) build dist .cache *.egg-info .coverage*
