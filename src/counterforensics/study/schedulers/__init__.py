"""What runs the tasks of a plan: threads of this process, or a Dask cluster."""
