"""The Python client of Verbatim, the durable record of voice conversations."""

__version__ = "0.2.0"  # of the distribution `verbatim-record`, which the build takes from here
