"""The agents of a registry as processes of this machine."""
