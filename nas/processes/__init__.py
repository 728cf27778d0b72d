"""Processes and their signals: interrupts, owners, calls in a process of their own, threads."""
