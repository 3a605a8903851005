"""Models that play a script: in the process of a test, and behind HTTP."""
