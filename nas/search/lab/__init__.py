"""The scaling lab: which trainings tell how a network should grow, and what they tell."""
