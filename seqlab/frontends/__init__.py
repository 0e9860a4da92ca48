"""Frontends: signals to feature frames, and what acts on feature frames."""
