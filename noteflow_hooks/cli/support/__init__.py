"""What the commands share: options, output, files, and the way to a server or a database."""
