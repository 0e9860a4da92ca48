"""The errors that a user can cause. The command line prints them without a traceback and exits with status 2."""


class UserError(ValueError):
    """Something given to seqlab is wrong; the message says what, where, and what would be right."""


class ConfigError(UserError):
    """The configuration is wrong. One error carries every fault found."""


class Preempted(Exception):
    """The machine asked the run to end (SIGTERM, SIGUSR1): it is saved and goes on with resume=true."""


class DataError(UserError):
    """A file or a manifest line is wrong."""
