"""Planning problems with a planner and a guess that solve them: `registry.make(name)`, a file per family."""
