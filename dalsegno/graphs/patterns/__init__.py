"""Orchestration patterns: each is a function that returns a workflow."""
