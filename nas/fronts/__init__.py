"""Arithmetic on what was trained: fronts, their noise, what a search still brings, which trainings go on."""
