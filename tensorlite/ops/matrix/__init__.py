"""Linear algebra under torch's names, for `tensorlite.linalg` and `tensorlite` itself."""
