"""Proposals, trials, and the database that keeps them."""
