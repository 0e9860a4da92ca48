"""Stems: feature frames to fewer frames."""
