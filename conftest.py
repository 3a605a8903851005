"""pytest reads each file once, not a second time through the links at the root; and where a change is judged,
properties are tried with the same examples every time. Elsewhere they go on looking for new ones."""

import os

from hypothesis import settings

collect_ignore = ["graphs", "nodes", "checkpoints", "viz"]

settings.register_profile("ci", derandomize=True, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
