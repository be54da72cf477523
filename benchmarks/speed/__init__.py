"""How fast the suite trains, decodes and plans, beside what it is compared with (docs/performance.md)."""
