"""What transfer saves in training data: learning curves, multipliers, the price of a target."""
