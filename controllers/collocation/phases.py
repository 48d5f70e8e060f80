"""Motion in several phases: guards that end a phase, resets that begin the next, cycles."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from controllers.collocation.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Transition:
    """guard(x) = 0 at the end of a phase (None: it may end anywhere), and the next begins at reset(x).

    guard(x (nx,)) -> scalar or (m,), reset(x (nx,)) -> (nx of the next phase,), None for the same state; plain NumPy,
    as System.f. one_sided: guard(x) >= 0 at the knots before, so that the phase ends at the first zero.
    """

    guard: Callable[[Any], Any] | None = None
    reset: Callable[[Any], Any] | None = None
    one_sided: bool = False
    label: str = "transition"


@dataclass(frozen=True, kw_only=True)
class Hybrid:
    """Phases one after the other, with a transition after each but the last; after the last too if cyclic.

    cyclic: the last transition leads back to the start of the first phase, a limit cycle of the hybrid system; x0 is
    then None, or NaN where it is free. A smooth periodic orbit is one phase with Transition(). Raises ValueError for
    another number of transitions. Source: Betts, Practical Methods for Optimal Control, 2010, section 4.1 (phases and
    linkages); Westervelt et al., Feedback Control of Dynamic Bipedal Robot Locomotion, 2007, chapter 3 (resets).
    """

    phases: tuple[Problem, ...]
    transitions: tuple[Transition, ...] = ()
    cyclic: bool = False

    def __post_init__(self):
        object.__setattr__(self, "phases", tuple(self.phases))
        object.__setattr__(self, "transitions", tuple(self.transitions))
        wanted = len(self.phases) - (0 if self.cyclic else 1)
        if not self.phases or len(self.transitions) != wanted:
            raise ValueError(
                f"Hybrid: {len(self.phases)} phases{' in a cycle' if self.cyclic else ''} need {wanted} transitions, "
                f"got {len(self.transitions)}"
            )
