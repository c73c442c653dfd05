"""The workers' half: events become deliveries, deliveries become POSTs, and their results become rows."""
