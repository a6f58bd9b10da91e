"""What every training needs, of a detector or of an attack: hardware, batches, checkpoints, layers, weights."""
