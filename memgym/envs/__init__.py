"""The Gymnasium environments; importing :mod:`memgym` registers them."""
