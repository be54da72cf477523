"""The benchmark: suites, data, models, training, runs, answers and figures. Names no method."""
