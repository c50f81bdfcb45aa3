"""What `import siglip_lab` brings along, and what users find in it."""

import subprocess
import sys

import siglip_lab as sl

HEAVY = ("matplotlib", "transformers", "modelscope", "huggingface_hub", "IPython", "tqdm")


def test_import_brings_nothing_heavy():
    code = f"import sys, torch; a = set(sys.modules); import siglip_lab; b = set(sys.modules) - a;\
        print([name for name in {HEAVY} if name in b])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_all_names_exist():
    assert [name for name in sl.__all__ if not hasattr(sl, name)] == []
