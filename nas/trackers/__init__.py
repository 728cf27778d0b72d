"""Searches told to experiment trackers: trackio, Weights & Biases, MLflow. Nothing is sent unless one asks for it.

A tracker's library runs in a process of its own, which is told of each training once that has ended. So whatever it
prints, waits for or dies of is no matter of the search.
"""
