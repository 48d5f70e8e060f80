"""What a Drake plant needs whatever it was made from: its diagram, its contact approximation, and quiet."""

import logging
from contextlib import contextmanager
from typing import Any

from pydrake.geometry import SceneGraph
from pydrake.multibody.plant import DiscreteContactApproximation, MultibodyPlant
from pydrake.systems.framework import DiagramBuilder

APPROXIMATIONS = {"lagged": "kLagged", "sap": "kSap", "similar": "kSimilar"}


def set_approximation(plant: MultibodyPlant, approximation: str) -> None:
    """Make a discrete plant, not yet finalised, one with the SAP solver and a discrete update that can be evaluated."""
    plant.SetUseSampledOutputPorts(False)  # else there is no periodic discrete update
    plant.set_discrete_contact_approximation(getattr(DiscreteContactApproximation, APPROXIMATIONS[approximation]))


def connect(plant: MultibodyPlant, scene_graph: SceneGraph) -> Any:
    """The diagram of a finalised plant and its scene graph; ports "applied_generalized_force" and "state"."""
    builder = DiagramBuilder()
    builder.AddNamedSystem("plant", plant)
    builder.AddNamedSystem("scene_graph", scene_graph)
    builder.Connect(scene_graph.get_query_output_port(), plant.get_geometry_query_input_port())
    builder.Connect(plant.get_geometry_pose_output_port(), scene_graph.get_source_pose_port(plant.get_source_id()))
    builder.ExportInput(plant.get_applied_generalized_force_input_port(), "applied_generalized_force")
    builder.ExportOutput(plant.get_state_output_port(), "state")
    return builder.Build()


@contextmanager
def quiet():
    """Drake's warnings off: what they say about a plant (ignored limits, half spaces) is in `omissions` already."""
    log = logging.getLogger("drake")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
