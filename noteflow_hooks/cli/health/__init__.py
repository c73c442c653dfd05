"""`health`: whether a process of this machine is alive, and whether it is ready; each answer by what it has done."""
