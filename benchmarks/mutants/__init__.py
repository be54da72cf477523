"""How many small changes to the code that makes numbers the tests notice (mutation testing)."""
