"""Who trains what and when."""
