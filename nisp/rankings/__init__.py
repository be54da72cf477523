"""Rankings of the final responses, one file per ranking, with ``rank(responses, **options) -> importance``."""
