"""How a search looks while it runs: one view, whether its events or its database tell of it."""
