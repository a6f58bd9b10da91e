"""Where results of tasks are kept: in a folder, or in whatever fsspec reaches."""
