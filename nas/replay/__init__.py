"""Finished trainings as a table, and searches replayed on it: what would have been found, and at what price?"""
