"""Where a training runs: in this process, in processes of its own, on a cluster. Knows no database and no search."""
