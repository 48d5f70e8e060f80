"""The arms of Robotic Manipulation as tasks."""
