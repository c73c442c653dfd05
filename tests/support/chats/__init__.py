"""What Slack, Discord and Microsoft Teams do with a message: stubs of their APIs, and readers of their markup."""
