"""Verbatim: the durable record of voice conversations.

The rooms, from the door down; each may import only what stands below it:

    cli, app        where the parts meet; nobody else sees the settings
    api             HTTP: routes, problems, the middleware
    services        use cases: one function, one transaction; the appender
    deepgram        Deepgram's events in our words
    dao_service     PostgreSQL: one method, one question        schemas    the words that cross the wire
    errors  vocabulary  ids  observability
"""

from importlib.metadata import version

__version__ = version("verbatim")
