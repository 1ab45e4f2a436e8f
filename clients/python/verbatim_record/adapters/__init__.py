"""Adapters that record the turns of a voice framework. Each imports its framework, so nothing here imports them."""
