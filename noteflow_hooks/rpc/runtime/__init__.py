"""What calls run on: the database's threads, and tasks that outlive their caller."""
