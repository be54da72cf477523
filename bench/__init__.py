"""What all pruning methods share: data, models, training, surgery, measuring, statistics and figures."""

__version__ = "0.1.0"
