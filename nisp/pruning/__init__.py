"""What any pruner needs: groups of channels, selection, surgery, budgets, least squares, and saving. Names no method."""
