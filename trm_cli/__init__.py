"""trm: build datasets for, train, resume and inspect Tiny Recursive Models."""

__version__ = "0.1.0"
