"""Training runs: the Lightning trainer with our callbacks, progress display and metrics file."""
