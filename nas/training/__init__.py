"""How a network is trained: recipe, loop, device."""
