"""How an endpoint does, and what follows from it: how many go to it, when, and when it is given up."""
