"""Verbatim: the durable record of voice conversations.

The rooms, from the door down; each may import only what stands below it:

    cli             commands        server  how it listens        replay  a client of the API, for recorded calls
    app             where the parts meet; only cli and app see the settings
    http_limits     Uvicorn's HTTP protocol, bounded; the event loop, and who is turned away
    api             HTTP: admission, the gate, routes, problems        recorder  inside a voice pipeline
    delivery        the outbox is carried to the orchestrator
    auth            who is asking: tokens and their issuers
    services        use cases: one function, one transaction; the appender and its queue
    deepgram        Deepgram's events in our words, and its tokens for phones
    dao_service     PostgreSQL: one method, one question        schemas    the words that cross the wire
    principal       who asks, and how far they reach           outgoing   HTTP clients and TLS
    errors  vocabulary  ids  observability  departure  budget  collector
"""

from importlib.metadata import version

__version__ = version("verbatim")
