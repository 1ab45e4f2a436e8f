"""The operations of the API, one function each: it takes the arguments and returns the call, without any I/O.

The clients have each function as a method of the same name, which carries the call out.
"""
