"""The command line: one file a subcommand, each with `add(subparsers)` and a function that returns the exit code."""
