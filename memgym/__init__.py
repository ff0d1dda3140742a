"""memgym: the Gymnasium home of agent memory."""

__version__ = "0.1.0"
