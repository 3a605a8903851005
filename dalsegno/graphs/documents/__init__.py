"""Workflow documents: read with positions, checked, and built into workflows."""
