"""How a network should grow: rules, laws and surfaces of error against cost, with intervals. Pure maths."""
