"""What an operator sees of a running runtime and does to it: the same commands one-shot and in the REPL."""
