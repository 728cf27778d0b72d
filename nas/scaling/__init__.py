"""How a network should grow: rules, the networks that they make, and all networks of one cost."""
