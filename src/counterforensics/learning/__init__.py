"""What every training needs, of a detector or an attack: one loop, hardware, batches, checkpoints, layers, weights."""
