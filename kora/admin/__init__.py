"""What an operator sees of a running runtime, and does to it: an API on a unix socket, and its client."""
