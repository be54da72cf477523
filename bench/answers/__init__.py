"""Tables, statistics and verdicts, from records and tables alone; imports no torch."""
