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
    "evaluate": "evaluate",
    "make": "registry",
    "names": "registry",
    "wilson": "stats",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        value = getattr(import_module(f"robotics.{_HOME[name]}"), name)
        globals()[name] = value  # `evaluate` is a function and a module: keep the function
        return value
    raise AttributeError(f"module 'robotics' has no attribute {name!r}; it has: {', '.join(__all__)}")
