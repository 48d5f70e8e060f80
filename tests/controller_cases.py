"""What several controller tests share."""

import pytest

from sims import models


def engine(name: str, model: str, **options):
    """A simulator of one of the suite's models, or a skip that says why."""
    package = {"MujocoSimulator": "mujoco", "DrakeSimulator": "pydrake"}[name]
    pytest.importorskip(package, reason=f"{name} needs it: pip install {package.replace('py', '')}")
    import sims

    return getattr(sims, name)(getattr(models, model), **options)
