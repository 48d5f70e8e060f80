# What sims.viewer opens lazily, for editors and type checkers; tests/test_doors.py keeps it equal to __all__.
from sims.viewer.film import Film as Film
from sims.viewer.film import record_html as record_html
from sims.viewer.live import run_live as run_live
from sims.viewer.live import teleop as teleop
from sims.viewer.plot import plot_run as plot_run
from sims.viewer.render import Camera as Camera
from sims.viewer.render import contact_sheet as contact_sheet
from sims.viewer.render import record_video as record_video
from sims.viewer.render import render_png as render_png
from sims.viewer.scene import Scene as Scene
from sims.viewer.scene import Shape as Shape
from sims.viewer.scene import poses as poses
from sims.viewer.scene import scene_of as scene_of
from sims.viewer.viewer import ResetRequested as ResetRequested
from sims.viewer.viewer import StopRequested as StopRequested
from sims.viewer.viewer import Viewer as Viewer
