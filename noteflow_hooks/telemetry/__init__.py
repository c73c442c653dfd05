"""What processes count of themselves, and how they answer `/metrics`; nothing of it is there unless a setting asks."""
