"""Runs dl's kernel tests on another build of the extension: python tests/sanitized.py FOLDER [pytest arguments]."""

import importlib.util
import sys
from pathlib import Path

import pytest


def load(folder: Path):
    """Put the extension in folder where `import dl` will find it: before the installed one."""
    found = sorted(folder.rglob("_kernels*.so"))
    if not found:
        sys.exit(f"{folder}: no dl._kernels here; make sanitize builds it")
    spec = importlib.util.spec_from_file_location("dl._kernels", found[0])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["dl._kernels"] = module


if __name__ == "__main__":
    load(Path(sys.argv[1]))
    tests = sys.argv[2:] or [str(path) for path in sorted(Path(__file__).parent.glob("test_dl_*.py"))]
    sys.exit(pytest.main(["-p", "no:cacheprovider", "-m", "not slow", *tests]))
