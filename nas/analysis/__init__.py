"""What a study found: fronts, plots, the report."""
