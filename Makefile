# The two commands that people type: `make demo` and `make test`. Everything runs in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CT ?=
SHELL := /bin/bash

# Spinning threads make a shared machine slow; waiting ones cost nothing.
export OMP_WAIT_POLICY := PASSIVE
export MPLCONFIGDIR := $(CURDIR)/$(VENV)/matplotlib

.PHONY: help demo view test test-browser test-slicer-python interop mutants torture check format bench screenshots \
  browser-pictures docs docs-test clean install install-test audit

help:
	@echo "make demo             segment a phantom CT and write demo/"
	@echo "make demo CT=FILE     the same on a CT of yours"
	@echo "make view             what dramlesion view needs, in an environment of its own (100 MB)"
	@echo "make test             run the tests"
	@echo "make test-browser     the page in Chromium, by mouse and keyboard (apt-get install chromium)"
	@echo "make test-slicer-python   the tests that need no torch, on the Python of Slicer (3.12)"
	@echo "make interop          ask nnU-Net, dcmqi, highdicom, MONAI and MONAI Label themselves about what is written for them"
	@echo "make mutants          put known faults into a copy of the code, and see a test fail with each"
	@echo "make torture          odd inputs, kills and fuzzing, all of them: a quarter of an hour on two cores"
	@echo "make check            format check, lint, types, the rules of Slicer's Extensions Index"
	@echo "make audit            known weaknesses of the pinned packages (asks PyPI)"
	@echo "make format           format the code"
	@echo "make docs             build the pages and the API reference into build/docs"
	@echo "make docs-test        type what the pages tell people to type"
	@echo "make bench            time the parts"
	@echo "make screenshots      picture the panel in each state into Documentation/"
	@echo "make browser-pictures picture the page of the browser on the demo into Documentation/"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "DRAMLesion needs Python 3.10 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# slicer-core has no wheel for some machines: the scene is then left out, and the report says so.
$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[scene]' || \
	  echo "slicer-core can't be installed here: the demo will have no Slicer scene"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fast]' || \
	  echo "isal can't be installed here: files are packed by zlib, which takes longer"
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,check]'
	@touch $@

install: $(VENV)/.installed
install-test: $(VENV)/.installed-test

demo: install
	$(BIN)/python Scripts/demo.py --out demo $(if $(CT),--ct "$(CT)")
	@$(MAKE) --no-print-directory view > $(VENV)/view.log 2>&1 && \
	  echo "Read, steer and correct it in the browser: $(BIN)/dramlesion view demo" || \
	  echo "The page in the browser can't be installed here ($(VENV)/view.log says why)"

# On top of .venv: slicer-layer-dm asks for another slicer-core than constraints.txt has.
VIEW := trame-slicer==2.0.0 slicer-layer-dm==2.0.0
view: $(VENV)/view/.installed
$(VENV)/view/.installed: $(VENV)/.installed
	$(BIN)/python Scripts/neighbour_environment.py $(VENV)/view $(VIEW)
	@touch $@

test: install-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-browser: install-test view
	$(BIN)/python Scripts/neighbour_environment.py $(VENV)/view $(VIEW) playwright==1.65.2
	OMP_NUM_THREADS=1 $(VENV)/view/bin/python -m pytest -q -rs Testing/browser

# Slicer's Python is 3.12. Torch (6 GB with its CUDA libraries) is not installed a second time: what asks for it is skipped.
SLICER_PYTHON ?= python3.12
WITHOUT_TORCH := numpy scipy SimpleITK packaging safetensors typer rich jinja2 matplotlib pyyaml \
  pydicom highdicom distributed pytest pytest-xdist pytest-timeout hypothesis jsonschema scikit-image
test-slicer-python:
	$(SLICER_PYTHON) -m venv $(VENV)/slicer-python
	$(VENV)/slicer-python/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(WITHOUT_TORCH)
	$(VENV)/slicer-python/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	OMP_NUM_THREADS=1 DRAMLESION_TEST_WITHOUT_TORCH=1 $(VENV)/slicer-python/bin/python -m pytest -q -n 2 --dist loadfile \
	  --deselect Testing/unit/system/test_requirements.py::test_the_rule_on_monai_is_what_monai_declares \
	  --deselect Testing/unit/system/test_requirements.py::test_this_python_keeps_the_rules_and_doctor_says_so Testing/unit

# Each in an environment of its own on top of .venv, so that torch is not installed once more. monailabel wants older packages.
NNUNET := nnunetv2==2.8.1 dcmqi==1.5.7
MONAILABEL := monailabel==0.8.5 numpy<2 pydicom<3 dicomweb-client<0.60 pynetdicom<3
NEIGHBOURS := Testing/unit/training/data/test_nnunet.py Testing/unit/results/test_dicom_seg.py \
  Testing/unit/lesions/networks/test_bundle_run.py
interop: install-test
	$(BIN)/python Scripts/neighbour_environment.py $(VENV)/nnunet $(foreach package,$(NNUNET),'$(package)')
	SAM2_BUILD_CUDA=0 $(BIN)/python Scripts/neighbour_environment.py $(VENV)/monailabel $(foreach package,$(MONAILABEL),'$(package)')
	PATH="$(CURDIR)/$(VENV)/nnunet/bin:$$PATH" OMP_NUM_THREADS=1 $(VENV)/nnunet/bin/python -m pytest -q -rs $(NEIGHBOURS)
	OMP_NUM_THREADS=1 $(VENV)/monailabel/bin/python -m pytest -q -rs Testing/unit/test_monai_label.py

# One to two hours on two cores. FAULTS: words that the faults' names hold.
FAULTS ?=
mutants: install-test
	$(BIN)/python Testing/mutants/run.py $(FAULTS)

# FUZZ: seconds for all readers of our own files together.
FUZZ ?= 600
torture: install-test
	OMP_NUM_THREADS=1 DRAMLESION_FUZZ_SECONDS=$(FUZZ) $(BIN)/python -m pytest -m "torture or not torture" \
	  -n 2 --dist loadfile Testing/torture

check: install-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python Scripts/check_extension.py

# In an environment of its own: its packages are of no use to anybody else.
audit: install
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt 'pip-audit>=2.7'
	$(VENV)/audit/bin/python Scripts/audit.py

format: install-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Best on a machine that does nothing else; about half an hour. Real CTs serve where DRAMLESION_REAL_DATA names them.
BENCHMARKS := main_job training_step panel batch crf correction attention
bench: install-test
	for name in $(BENCHMARKS); do echo; echo "== $$name"; $(BIN)/python Testing/benchmarks/$$name.py || exit 1; done

# Whatever is not as it should be in a page or a docstring ends the build.
docs: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/python -m sphinx -q -W --keep-going -b html -d build/doctrees Documentation build/docs
	@echo "Start with build/docs/index.html"

docs-test: install-test
	$(BIN)/python Scripts/figures_check.py
	OMP_NUM_THREADS=1 $(BIN)/python Scripts/docs_test.py

screenshots: install-test
	$(BIN)/python Scripts/screenshots.py

browser-pictures: demo view
	$(BIN)/python Scripts/neighbour_environment.py $(VENV)/view $(VIEW) playwright==1.65.2
	$(VENV)/view/bin/python Scripts/browser_pictures.py demo
	$(VENV)/view/bin/python Scripts/browser_pictures.py demo --out Documentation/browser.webp

clean:
	rm -rf $(VENV) demo build *.egg-info
