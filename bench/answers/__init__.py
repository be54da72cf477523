"""Tables, statistics and verdicts, from records and tables alone; nothing here imports torch."""
