"""The REPL: the commands of `kora.cli.admin` typed one after the other, in one place, with completion."""
