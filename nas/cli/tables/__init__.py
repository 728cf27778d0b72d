"""Results as tables for a terminal, as wide as it is. Only the command line uses them."""
