"""What looks after what is kept in memory, and after the tasks that do."""
