"""MuJoCo itself, for the files that wrap it: `from sims.mujoco_engine import mujoco`."""

import logging

from sims.errors import MissingDependency

try:
    import mujoco
except ImportError as error:
    raise MissingDependency("MuJoCo is not installed: pip install mujoco") from error

__all__ = ["mujoco"]


def _log(message: str) -> None:
    level = logging.DEBUG if "unstable" in message else logging.WARNING
    logging.getLogger("sims.mujoco").log(level, message.strip())


# MuJoCo's default writes MUJOCO_LOG.TXT into the working folder; what diverges is reported in the Trajectory
if mujoco.get_mju_user_warning() is None:
    mujoco.set_mju_user_warning(_log)
