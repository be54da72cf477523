"""NISP and its null controls, as criteria of the pruner contract."""
