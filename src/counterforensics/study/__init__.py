"""Studies: settings, the graph of tasks, the store of results, and running them."""
