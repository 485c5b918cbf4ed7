"""Ways to get a request answered; `base` has the seam, each other module one way."""
