"""Figures of a study, a module for each: what it shows, without plotly, and then its drawing."""
