"""Suites: what a suite file may say, the jobs it asks for, and the fingerprints that decide which results are valid.

Nothing here imports torch, so that large suites are planned quickly.
"""
