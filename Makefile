# Four verbs locally and in CI: install, check, test, docs. And bench, and quickstart for the first five minutes.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := $(shell find errors.py nodes graphs checkpoints training cli -name '*.py' -o -name '*.jinja' -o -name '*.mako' -o -name '*.safetensors' | LC_ALL=C sort)
# The editable install links file by file, so it is repeated when the list of files changes. A pip from before 2025
# takes twice the time for it, and so does compiling what nobody imports.
STAMP := .venv/.installed-$(shell printf '%s ' $(SOURCES) | cat - pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
OFFLINE := HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1
# Many images set it. Nothing is compiled when it is installed: without bytecode every process would do it over again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install check test lives fuzz crowd docs bench quickstart seed-policy clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -c 'import sys; sys.exit("Threadmill needs Python 3.11 or newer, not " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	@rm -f .venv/.installed-*
	@touch $@

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

# The random lives of threads have a process of their own: among thousands of other tests they take five times as long.
# They run beside the static checks, which take one core.
test: install
	$(MAKE) --no-print-directory --jobs 2 check lives
	$(OFFLINE) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/test_thread_machine.py

lives: install
	$(OFFLINE) OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_thread_machine.py

# Properties, with examples that were never tried before; a thousand constrained calls instead of 150; every death instead of
# every second to seventh.
fuzz: install
	$(OFFLINE) OMP_NUM_THREADS=1 THREADMILL_DEATHS=all $(BIN)/python -m pytest tests/test_crash.py
	$(OFFLINE) OMP_NUM_THREADS=1 THREADMILL_CALLS=1000 $(BIN)/python -m pytest tests/test_grammar.py
	$(OFFLINE) OMP_NUM_THREADS=1 HYPOTHESIS_PROFILE=random $(BIN)/python -m pytest -n 2 -m hypothesis

# The test of many processes on one database, for a minute on each kind instead of three seconds.
crowd: install
	$(OFFLINE) OMP_NUM_THREADS=1 THREADMILL_CROWD_S=60 $(BIN)/python -m pytest -s tests/test_crowd.py

docs: install
	$(OFFLINE) $(BIN)/python -m pytest tests/test_docs.py

# About a quarter of an hour and 4 GB of temporary space; TMPDIR says where.
bench: install
	$(OFFLINE) OMP_NUM_THREADS=1 $(BIN)/python benchmarks/run_all.py

quickstart: install
	@$(OFFLINE) $(BIN)/threadmill quickstart --out out/quickstart

seed-policy: install
	$(BIN)/python -m threadmill.training.seed_policy.recipe --out out/seed-policy

clean:
	rm -rf .venv build out
