"""Write a network as PyTorch code that stands alone."""
