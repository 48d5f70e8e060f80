"""The systems of Underactuated Robotics as tasks, a file per family."""
