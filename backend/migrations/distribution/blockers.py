"""What keeps a database from being distributed, each a sentence that says what to change."""

from collections.abc import Iterator

from backend.migrations.distribution.catalogue import SETTINGS, Catalogue


def blockers(found: Catalogue, *, searches: bool) -> Iterator[str]:
    """Yield a sentence for each; ``searches`` tells whether the service is set to keep the words of messages."""
    if found.group is None:
        yield (
            "This database has no Citus: load it by shared_preload_libraries on every node, and run CREATE EXTENSION "
            "citus in this database on each."
        )
        return
    if found.group:
        yield "DATABASE_URL leads to a worker of the cluster; name the coordinator."
    if not found.workers:
        yield "The cluster has no worker that takes data: add one with SELECT citus_add_node('host', 5432)."
    for setting, nodes in found.mistaken:
        wanted, why = SETTINGS[setting]
        places = ", ".join(str(node) for node in nodes)
        yield f"{setting} must be {wanted} on each node, or {why}; it is not on these nodes of pg_dist_node: {places}."
    if searches:
        yield "Full-text search works on one server only: set VERBATIM_SEARCH=false for every process of the service."
    if not found.is_distributed:
        yield from _of_the_host(found)


def _of_the_host(found: Catalogue) -> Iterator[str]:
    for tie in found.ties:
        yield (
            f"The foreign key {tie.name} leads from {tie.table} to {tie.refers_to}, and a cluster has none between "
            "the record and tables that stay on the coordinator: drop it."
        )
    for index in found.unique:
        if index.name not in {"messages_pkey", "idx_messages_feed"}:
            yield (
                f"The index {index.name} of {index.table} is unique over all conversations, which no node can see to: "
                "drop it, or let it begin with the conversation."
            )
    for trigger in found.triggers:
        yield (
            f"The trigger {trigger.name} of {trigger.table} is the host's; on a cluster it would run on each node and "
            "see that node's rows only: drop it."
        )
