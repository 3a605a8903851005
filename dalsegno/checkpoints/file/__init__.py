"""SQLite behind the interface of `checkpoints.interface`: one file, and how checkpoints lie in it."""
