"""What a network is: pure data, without torch."""
