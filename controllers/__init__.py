"""Control laws, planners, learned policies, certificates. Each name is imported when first used."""

from importlib import import_module

_HOME = {
    "Controller": "base",
    "LinearFeedback": "base",
    "wrap_angle": "base",
}
_MODULES = ("base",)
__all__ = sorted([*_HOME, *_MODULES])


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"controllers.{_HOME[name]}"), name)
    if name in _MODULES:
        return import_module(f"controllers.{name}")
    raise AttributeError(f"module 'controllers' has no attribute {name!r}; it has: {', '.join(__all__)}")
