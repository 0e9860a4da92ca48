"""Configuration: plain dicts composed by Hydra, checked against signatures, built into objects.

The only room that knows Hydra and ``_target_``. Everything else receives plain dicts and built objects.
"""

from seqlab.config.composition import compose, quoted, read_overrides, run
from seqlab.config.nodes import Config, build, conf_dir, load_yaml, resolve_target, save_yaml, with_defaults

__all__ = [
    "Config",
    "build",
    "compose",
    "conf_dir",
    "load_yaml",
    "quoted",
    "read_overrides",
    "resolve_target",
    "run",
    "save_yaml",
    "with_defaults",
]
