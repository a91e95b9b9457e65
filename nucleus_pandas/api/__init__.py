"""What users hold: clients, datasets, slices, models and runs, the functions and ``df.nucleus``."""
