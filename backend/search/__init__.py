"""Full-text search: the words of a text, what is stored of them, the query language, and the ranges of what was found.

Pure functions: `dao_service` stores and asks, `services` decides who may search.
"""
