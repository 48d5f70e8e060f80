# What robotics opens lazily, for editors and type checkers; tests/test_doors.py keeps it equal to __all__.
from robotics.cost import QuadraticCost as QuadraticCost
from robotics.env import TaskEnv as TaskEnv
from robotics.env import TaskVectorEnv as TaskVectorEnv
from robotics.evaluate import Episode as Episode
from robotics.evaluate import Evaluation as Evaluation
from robotics.evaluate import episode as episode
from robotics.registry import make as make
from robotics.registry import names as names
from robotics.stats import wilson as wilson
from robotics.task import Golden as Golden
from robotics.task import Task as Task
