"""Encoders: feature frames to states."""
