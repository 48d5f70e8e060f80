# What sims.plants opens lazily, for editors and type checkers; tests/test_doors.py keeps it equal to __all__.
from sims.plants.acrobot import Acrobot as Acrobot
from sims.plants.ballbot import Ballbot as Ballbot
from sims.plants.cartpole import CartPole as CartPole
from sims.plants.double_integrator import DoubleIntegrator as DoubleIntegrator
from sims.plants.double_pendulum import DoublePendulum as DoublePendulum
from sims.plants.dubins_car import DubinsCar as DubinsCar
from sims.plants.glider import Glider as Glider
from sims.plants.npole import NPole as NPole
from sims.plants.pendubot import Pendubot as Pendubot
from sims.plants.pendulum import Pendulum as Pendulum
from sims.plants.planar_quadrotor import PlanarQuadrotor as PlanarQuadrotor
from sims.plants.quadrotor import Quadrotor as Quadrotor
from sims.plants.quadrotor_rpy import QuadrotorRPY as QuadrotorRPY
from sims.plants.van_der_pol import VanDerPol as VanDerPol

PLANTS: dict[str, str]

def load(name: str) -> type: ...
