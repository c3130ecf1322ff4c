"""What every store in a database does alike: the logic once, over each database's own statements."""
