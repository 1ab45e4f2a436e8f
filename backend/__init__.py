"""Verbatim: the durable record of voice conversations.

The packages, from the entry points down. Each may import only what stands below it:

    cli                commands         server  sockets and workers      replay  imports recorded calls
    app                where the parts meet; only cli and app read the settings
    http_limits        Uvicorn's HTTP protocol with limits; the event loop; refusals before the application
    api                HTTP: admission, gate, routes, problems
    delivery           sends the outbox to the orchestrator
    auth               bearer tokens and their issuers
    services           use cases: one function, one transaction; the appender and its queue
    deepgram           Deepgram's events as messages, and its tokens for phones
    formats            a transcript as text, Markdown, WebVTT, OpenAI messages, Deepgram context
    migrations         Alembic's runner, and the plan for a database that a host application owns
    dao_service        PostgreSQL: one method, one statement; `connection`, `wakeups`, `models`
    schemas            what crosses the wire, checked
    embedded_postgres  a PostgreSQL server that this process owns
    principal  http_client  errors  vocabulary  observability  shutdown  budget  background_task
    garbage_collection
"""

__version__ = "0.2.0"  # of the distribution `verbatim-server`, which the build takes from here
