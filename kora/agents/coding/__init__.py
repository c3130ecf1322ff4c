"""Coding agents' own programs: Claude Code, Codex, Gemini CLI. How each is called, and what its stream says."""
