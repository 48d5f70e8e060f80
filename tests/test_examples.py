"""Every example and the README's code run headless and keep their word."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(code: list[str], cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *code], cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_runs_prints_a_number_and_is_short(path, tmp_path):
    pytest.importorskip("mujoco", reason="the examples use MuJoCo: pip install mujoco")
    pytest.importorskip("pydrake", reason="the examples use Drake: pip install drake")
    assert len(path.read_text().splitlines()) <= 80
    done = run([str(path)], tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"\d", done.stdout)


def test_the_readme_code_runs(tmp_path):
    pytest.importorskip("mujoco", reason="the README's code uses MuJoCo: pip install mujoco")
    pytest.importorskip("pydrake", reason="the README's code uses Drake: pip install drake")
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert code, "README.md has no python block"
    for number, block in enumerate(code):
        script = tmp_path / f"readme{number}.py"
        script.write_text(block)
        done = run([str(script)], tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]


def test_links_in_the_docs_lead_somewhere():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), (
                    f"{page.relative_to(ROOT)} links to {target}, which is not there"
                )
