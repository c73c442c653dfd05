"""Child processes: started, waited for, and ended with their parent."""
