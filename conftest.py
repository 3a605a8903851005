"""pytest reads each file once, not a second time through the links at the root; and where a change is judged,
properties are tried with the same examples every time. Elsewhere they go on looking for new ones. How long an example
takes says how busy the machine is, and nothing of a property."""

import os

from hypothesis import HealthCheck, settings

collect_ignore = ["graphs", "nodes", "checkpoints", "viz"]

settings.register_profile("anywhere", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("anywhere"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "anywhere")
