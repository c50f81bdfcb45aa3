# Everything that can be done with this repository. `make` alone lists it.
# A machine needs Python 3.10-3.13, pip and make; the rest goes into .venv.

VENV  := .venv
BIN   := $(VENV)/bin
OUT   ?= $(CURDIR)
HTML   = $(OUT)/_build/html
PORT  ?= 8000
STAMP := $(VENV)/.installed

# python3 first, because it is the one you chose; then whatever else will do.
VERSION   := import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))
SUPPORTED := import ensurepip, venv; $(VERSION)
PYTHON ?= $(shell for p in python3 python python3.13 python3.12 python3.11 python3.10; do \
	$$p -c '$(SUPPORTED)' >/dev/null 2>&1 && { echo $$p; break; }; done)

# A .venv that was left half made, or whose Python is gone or too old, is made anew.
WORKS := $(shell $(BIN)/python -c 'import pip; $(VERSION)' >/dev/null 2>&1 && echo yes)

.PHONY: help book site serve test fast browser notebooks portable bench lighthouse tiny emoji emoji-model gpu repository new-venv clean

help:
	@echo 'make book       build the site, warnings are errors'
	@echo 'make serve      show the site on http://localhost:$(PORT)'
	@echo 'make test       style, types, unit tests, docstring examples, notebooks, site in a browser'
	@echo 'make fast       the unit tests of the library without the slow ones, for every save'
	@echo 'make notebooks  run every notebook again and save its outputs'
	@echo 'make portable   run the notebooks as other processors would, report each cell that changes'
	@echo 'make tiny       train the embedded model again (eight minutes or more)'
	@echo 'make emoji      draw the emoji and their names again, from the npm registry (npm)'
	@echo 'make emoji-model  train the other embedded model again (npm, 53 MB; an hour of one core, goes on where it was)'
	@echo 'make lighthouse what Lighthouse says of each page on a phone, build/lighthouse/table.md (node, npx)'
	@echo 'make bench      measure, write siglip_lab/data/results/*.json'
	@echo 'make gpu        tests and notebooks with this machine'"'"'s own CUDA build of torch'
	@echo 'make repository URL=https://github.com/OWNER/NAME  say everywhere where the repository lives'
	@echo 'make clean      remove what was built; .venv stays'

$(STAMP): pyproject.toml constraints.txt $(if $(WORKS),,new-venv)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

new-venv:
	@'$(PYTHON)' -c '$(SUPPORTED)' >/dev/null 2>&1 || { \
		echo 'make: $(or $(PYTHON),no python) will not do. Install Python 3.10, 3.11, 3.12 or 3.13 with venv,' \
			'or name it: make PYTHON=/path/to/python' >&2; exit 1; }
	@echo 'Creating $(VENV) with $(PYTHON)'
	@'$(PYTHON)' -m venv --clear $(VENV)

book: $(STAMP)
	@$(MAKE) --no-print-directory site
	@echo; echo 'The book is in $(HTML). Open $(HTML)/index.html, or: make serve'

# A clean folder each time, because an incremental build hides old warnings.
site:
	@rm -rf $(OUT)/_build
	$(BIN)/jupyter-book build . --toc book/_toc.yml --path-output $(OUT) -W --keep-going -n -q

serve: $(STAMP)
	@[ -f $(HTML)/index.html ] || $(MAKE) --no-print-directory site
	@echo 'http://localhost:$(PORT) (stop with Ctrl-C)'
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(HTML) $(PORT)

test: $(STAMP) browser
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile --doctest-modules --nbval --nbval-current-env siglip_lab tests notebooks

fast: $(STAMP)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m 'not slow and not site and not browser' tests

browser: $(STAMP)
	@$(BIN)/python tests/browser.py

notebooks: $(STAMP)
	$(BIN)/python book/_ext/execute.py notebooks/*.ipynb

# The notebooks as other processors would run them: the vector instructions of ATen, oneDNN and MKL,
# and the threads. A processor without AVX2 runs less of it, and says so.
PORTABLE := \
	'ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE OMP_NUM_THREADS=1' \
	'ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_CBWR=AVX2 OMP_NUM_THREADS=2' \
	'OMP_NUM_THREADS=3'

portable: $(STAMP)
	@status=0; for setting in $(PORTABLE); do \
		echo; echo "$$setting"; \
		env $$setting $(BIN)/python -c 'import torch; print("ATen uses", torch.backends.cpu.get_cpu_capability())'; \
		env $$setting OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -q -n 2 --dist loadfile --nbval --nbval-current-env notebooks || status=1; \
	done; exit $$status

tiny: $(STAMP)
	$(BIN)/python -m siglip_lab.toy.training --config shipped --out build/tiny
	mv -f build/tiny/* siglip_lab/tiny && rmdir build/tiny

emoji: $(STAMP)
	$(BIN)/python -m siglip_lab.emoji.build siglip_lab/emoji/data --cache build/emoji \
		--artists noto twemoji fluent-flat fluent-3d --languages en ar es hi zh

# As the embedded one was trained; what is stopped goes on from its last minute. One thread is what
# the steps were timed with; more gain little.
HANDS := build/emoji_hands
emoji-model: $(HANDS)/streamline.npz
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.emoji_model train build/emoji_model --hands $(HANDS) \
		--held-out none --steps 9500 --strength 0.7 --peak 2e-3 --optimizer muon --patch 8 --fast bfloat16,math
	$(BIN)/python -m benchmarks.emoji_model export build/emoji_model siglip_lab/emoji/model

$(HANDS)/streamline.npz: | $(STAMP)
	$(BIN)/python -m benchmarks.emoji_hands $(HANDS) --cache build/emoji

# The peers stay out of .venv: open_clip asks for torchvision, which transformers then trips over.
# Only its loss is read, from a folder of its own.
PEERS := build/peers
TRAINING_PEERS := build/training_peers

bench: $(STAMP) $(PEERS) $(TRAINING_PEERS)
	@set -e; for name in preprocess forward losses loading reading search; do echo $$name; PYTHONPATH=$(PEERS) $(BIN)/python -m benchmarks.$$name; done
	@set -e; for name in training inference; do echo $$name; PYTHONPATH=$(TRAINING_PEERS) $(BIN)/python -m benchmarks.$$name; done

# A tool from npm, not part of the tests: their own budgets are in tests/test_site_weight.py.
lighthouse: $(STAMP) browser
	@[ -f $(HTML)/index.html ] || $(MAKE) --no-print-directory site
	$(BIN)/python tests/lighthouse.py $(HTML) build/lighthouse

$(PEERS):
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $@ open_clip_torch==3.3.0 hf-processors-rs==0.1.0

# open_clip's training loop needs all of it; benchmarks/training.py declares what torchvision misses.
$(TRAINING_PEERS):
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $@ open_clip_torch==3.3.0 timm==1.0.31 torchvision==0.29.1

# No venv and no pins here: the torch that the GPU machine came with is the one to test.
gpu: GPU_PYTHON ?= python3
gpu: HAS_GPU := import importlib.util as u, sys; \
	u.find_spec("torch") or sys.exit("make gpu: this Python has no torch; name another: make gpu GPU_PYTHON=..."); \
	import torch; torch.cuda.is_available() or sys.exit("make gpu: torch " + torch.__version__ + " sees no CUDA GPU here")
gpu:
	@$(GPU_PYTHON) -c '$(HAS_GPU)'
	@$(GPU_PYTHON) -c 'import hypothesis, ipykernel, matplotlib, nbval, transformers' || { \
		echo "make gpu: install what is missing beside your torch: $(GPU_PYTHON) -m pip install -e '.[dev]'" >&2; exit 1; }
	PYTHONPATH=$(CURDIR) $(GPU_PYTHON) -m pytest -m 'not site' --ignore tests/test_packaging.py --nbval --nbval-current-env tests notebooks

# An empty URL takes it out again.
repository:
	$(if $(filter undefined,$(origin URL)),$(error make repository URL=https://github.com/OWNER/NAME))
	@'$(PYTHON)' book/_ext/repository.py '$(URL)'

clean:
	rm -rf _build build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find siglip_lab tests notebooks book -name __pycache__ -prune -exec rm -rf {} +
