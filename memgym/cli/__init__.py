"""The ``memgym`` command; one module per subcommand, imported light, run heavy."""
