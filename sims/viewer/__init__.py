"""Pictures of every simulator: live in meshcat, as one HTML film, as PNG, MP4 or GIF, and as plots.

Nothing is imported until it is used; a door that needs a package that is not there says which.
"""

from importlib import import_module

_HOME = {
    "Camera": "render",
    "Film": "film",
    "ResetRequested": "viewer",
    "Scene": "scene",
    "Shape": "scene",
    "StopRequested": "viewer",
    "Viewer": "viewer",
    "contact_sheet": "render",
    "plot_run": "plot",
    "poses": "scene",
    "record_html": "film",
    "record_video": "render",
    "render_png": "render",
    "run_live": "live",
    "scene_of": "scene",
    "teleop": "live",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"sims.viewer.{_HOME[name]}"), name)
    raise AttributeError(f"module 'sims.viewer' has no attribute {name!r}; it has: {', '.join(__all__)}")
