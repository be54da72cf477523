"""Competing pruners, one file each: a module with ``score(problem, **options) -> Scores``."""
