"""Take a network home."""
