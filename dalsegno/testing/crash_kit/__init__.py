"""The crash kit: a run is killed, or its disk fails, at every moment that matters; it is resumed and compared."""
