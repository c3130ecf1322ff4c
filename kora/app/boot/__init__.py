"""What happens before the first poll: the gates, what this machine knew of its store, and who answers meanwhile."""
