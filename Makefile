# Two commands do everything on a fresh machine: make verify, make test. The rest is for maintainers.
PYTHON ?= python3
BIN := .venv/bin
# One thread per process: the cases are small, and threads of several processes only wait for each other.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
# Compiled modules are kept, whatever the caller's shell asks for: the tests start hundreds of processes, and each would compile
# mhsa anew, two seconds of a verdict.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: verify test test-more mutation lint site bench time power performance gpu wheel clean

verify: .venv/ready  ## set up, then verify the reference, its fused core, and torch's own two implementations
	$(BIN)/mhsa verify mhsa:MultiHeadAttention mhsa:fused_attention \
		torch.nn:MultiheadAttention torch.nn.functional:scaled_dot_product_attention

test: .venv/ready  ## set up, then run the project's tests, but for those that tests/helpers/more.py names
	$(BIN)/python -m compileall -q mhsa properties  # a process that judges writes none itself
	$(BIN)/python -m pytest -n 2 -m "not more"

test-more: .venv/ready  ## the rest of the tests: more of the same kinds, and what is slow end to end; PART=K/N for a part of them
	$(BIN)/python -m pytest -n 2 -m more $(if $(PART),--part $(PART))

mutation: .venv/ready  ## change the oracle, the checks, the sequential test and the verdicts a little: do fast tests notice?
	MHSA_FORKSERVER= MHSA_CACHE= $(BIN)/python benchmarks/mutation.py

lint: .venv/ready  ## style, types, and which room imports which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

site: .venv/ready  ## the pages of docs/ as a web site in build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: .venv/ready  ## time the current commit with asv (MHSA_BENCH_SHAPES=exercise: a minute; all: twenty)
	$(BIN)/asv machine --yes
	$(BIN)/asv run 'HEAD^!'

time: .venv/ready  ## time a verdict on the reference, quick and ci
	$(BIN)/python benchmarks/verdict.py

power: .venv/ready  ## measure the power of the suite anew: the figures, the running order and the page (10 to 17 minutes)
	$(BIN)/mhsa power -n 2 --json mhsa/records/power.json --markdown docs/power.md

performance: .venv/ready  ## measure what the fused core promises, and write docs/performance.md (a quarter of an hour)
	$(BIN)/python benchmarks/targets.py --command | PATH="$(CURDIR)/$(BIN):$$PATH" sh
	$(BIN)/python benchmarks/targets.py performance.json > docs/performance.md

gpu: .venv/ready  ## measure on a GPU what docs/gpu.md states, and write it there (goes on where it was)
	$(BIN)/python -m benchmarks.gpu

wheel: .venv/ready
	$(BIN)/python -m pip wheel -q --no-deps -w dist .

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip uninstall -q -y mhsa  # what the distribution was called once; the two would clash
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv dist .asv
