"""Floors: what a model has to beat. No training loops, fitted on the training part only, ranked by the model's own rules."""
