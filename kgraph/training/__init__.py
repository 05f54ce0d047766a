"""Training: pure steps, and the loop over them."""
