"""Competing pruners, one file per criterion, with ``score(problem, **options) -> Scores``."""
