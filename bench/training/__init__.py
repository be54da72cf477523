"""Training, fine-tuning and evaluation, on one device or several."""
