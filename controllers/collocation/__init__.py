"""Direct collocation and transcription: closed-form plants through CasADi and IPOPT, Drake's through its own."""

from controllers.collocation.contact import ContactCollocation, ContactProblem
from controllers.collocation.elastic import Relaxation, labels, relax
from controllers.collocation.multibody import DrakeCollocation, MultibodySystem
from controllers.collocation.phases import Hybrid, Transition
from controllers.collocation.planner import Collocation
from controllers.collocation.problem import Problem
from controllers.collocation.schemes import SCHEMES
from controllers.collocation.solve import Options, Solution

__all__ = [
    "SCHEMES",
    "Collocation",
    "ContactCollocation",
    "ContactProblem",
    "DrakeCollocation",
    "Hybrid",
    "MultibodySystem",
    "Options",
    "Problem",
    "Relaxation",
    "Solution",
    "Transition",
    "labels",
    "relax",
]
