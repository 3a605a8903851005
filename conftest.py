"""pytest reads each file once: not a second time through the links at the root."""

collect_ignore = ["graphs", "nodes", "checkpoints", "viz"]
