"""What any pruner needs: groups of channels, selection, surgery, budgets, least squares, saving. Names no method."""
