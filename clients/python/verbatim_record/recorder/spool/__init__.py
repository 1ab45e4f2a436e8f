"""The spool: a file of the messages that are not on record yet, which one thread writes.

spool           the thread, and the queue between it and the event loop
pending_writes  what is to be written, collected
sqlite_store    the file
ownership       which recorder sends which rows
disk            fsync, in a thread of its own
repair          the way out of a damaged file
"""
