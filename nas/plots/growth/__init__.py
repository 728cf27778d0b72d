"""Figures of how networks should grow and of searches replayed, a module for each."""
