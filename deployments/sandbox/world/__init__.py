"""The certificates and clusters of the example, and what must be true of them."""
