"""Imports point down: dl <- sims <- controllers <- robotics; engines are imported only where they are wrapped."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = ("dl", "sims", "controllers", "robotics")
FILES = [path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))]
HEAVY = {"mujoco", "pydrake", "matplotlib", "scipy", "casadi", "gymnasium", "rich", "meshcat", "imageio"}
ENGINE_FILES = {
    "mujoco": ("sims/",),
    "pydrake": ("sims/", "controllers/collocation/multibody.py", "controllers/search/"),
}


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name.split(".")[0] for name in found}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    floor = FLOORS.index(path.relative_to(ROOT).parts[0])
    upstairs = imports(path) & set(FLOORS[floor + 1 :])
    assert not upstairs, f"{path.relative_to(ROOT)} ({FLOORS[floor]}) imports from above: {sorted(upstairs)}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_engines_are_imported_only_where_they_are_wrapped(path):
    name = path.relative_to(ROOT).as_posix()
    for engine, homes in ENGINE_FILES.items():
        assert engine not in imports(path) or name.startswith(homes), f"{name} imports {engine}; wrap it in sims/"


def test_no_file_shadows_an_engine():
    assert not [p for p in FILES if p.stem in HEAVY | {"drake"}]


@pytest.mark.parametrize("package", ["dl", "controllers", "robotics"])
def test_package_doors_import_nothing_heavy(package):
    assert not imports(ROOT / package / "__init__.py", top_level_only=True) & HEAVY


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_rooms_are_not_halls(path):
    lines = len(path.read_text().splitlines())
    assert lines <= 400, f"{path.relative_to(ROOT)} has {lines} lines: make two rooms of it"
