"""The NumPy twin of every kernel: the oracle in tests, and the backend where no C compiler was."""
