"""The authors' released files: found, read, checked, exported."""
