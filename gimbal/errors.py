"""Errors a user can meet. Each message is one paragraph: what, where, what is allowed, what to do next."""

from __future__ import annotations


class GimbalError(Exception):
    """Anything that ends a command with a message instead of a trace. ``exit_code`` is the process's."""

    exit_code = 1


class UsageError(GimbalError):
    """Bad usage or config: exit code 2."""

    exit_code = 2


class ConfigError(UsageError):
    """A config file can't be used: names file, key, value and what is allowed."""
