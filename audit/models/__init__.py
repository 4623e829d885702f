"""The only home of torch besides `audit.adapt`: loading a base and its adapted model as one pair, asking them."""
