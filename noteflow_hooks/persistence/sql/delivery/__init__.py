"""The workers' statements, and what runs them: each a short transaction, none open during a POST."""
