"""The running system: one module for each actor, and the supervision that keeps them running."""
