"""`doctor`: whether what deliveries need is there. It changes nothing, and nothing that hangs holds it up."""
