"""From data as it lies to the configuration of a training: what is there, its parts, settings, speed."""
