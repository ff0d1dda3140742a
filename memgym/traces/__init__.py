"""Traces: what happened in an episode, written so that anyone can play it again and compare.

:mod:`.recorder` makes a record while an episode is played, :mod:`.format` reads and writes files of
them, :mod:`.replay` plays one again. ``docs/traces.md`` describes the format field by field.
"""
