"""What looks after the database: retention, re-encryption, task runs, diagnostics."""
