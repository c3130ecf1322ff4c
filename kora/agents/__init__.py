"""Agents: the programs that do the tickets, and what keeps them in."""
