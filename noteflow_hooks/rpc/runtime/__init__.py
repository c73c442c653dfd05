"""What calls run on: threads for the database, and tasks that outlive their caller."""
