"""What is looked at, the one reading helper, and the messages."""
