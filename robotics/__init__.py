"""Tasks, the two courses' systems, evaluation, regression and the command line; each name is imported on first use."""

from importlib import import_module

_HOME = {
    "Episode": "evaluate",
    "Evaluation": "evaluate",
    "Golden": "task",
    "QuadraticCost": "cost",
    "Task": "task",
    "TaskEnv": "env",
    "TaskVectorEnv": "env",
    "episode": "evaluate",
    "make": "registry",
    "names": "registry",
    "wilson": "stats",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"robotics.{_HOME[name]}"), name)
    raise AttributeError(f"module 'robotics' has no attribute {name!r}; it has: {', '.join(__all__)}")
