"""Recurrent cells, one per file: the equations of its paper step by step, and a quick form for whole sequences."""
