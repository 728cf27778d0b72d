"""The report of a study: one HTML file that works offline, loads nothing and sends nothing."""
