"""Every package's door: what it says it has is there, and editors are told the same."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

PACKAGES = ["sims", "controllers", "robotics", "sims.plants", "sims.viewer", "controllers.search"]
ENGINES = {"pydrake", "mujoco"}


@pytest.mark.parametrize("name", PACKAGES)
def test_the_stub_names_what_the_door_opens(name):
    package = import_module(name)
    stub = ast.parse((Path(package.__file__).parent / "__init__.pyi").read_text())
    named = {alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    named |= {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
    named |= {node.target.id for node in stub.body if isinstance(node, ast.AnnAssign)}
    assert named == set(package.__all__)
    for node in stub.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                try:
                    there = getattr(import_module(node.module), alias.name)
                except ImportError as error:
                    assert error.name is None or error.name.split(".")[0] in ENGINES, error
                    continue
                assert getattr(package, alias.name) is there, alias.name


@pytest.mark.parametrize("name", PACKAGES)
def test_a_name_that_is_not_there_is_answered_with_those_that_are(name):
    package = import_module(name)
    with pytest.raises(AttributeError, match=f"{package.__all__[0]}.*{package.__all__[-1]}"):
        _ = package.nonsense
