"""Rankings of the final responses, one file each: a module with ``rank(responses, **options) -> importance``."""
