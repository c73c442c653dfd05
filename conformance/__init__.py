"""The vectors that hold for every receiver kit, and what makes them."""
