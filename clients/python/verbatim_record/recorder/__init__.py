"""The recorder: records the messages of a voice pipeline without making the pipeline wait.

recorder        what the pipeline calls: gives each message its id, number and time, and queues it
writer          the task that sends, in order, with retries
sinks           the interface to the record; http_sink sends to the service, refusals judges its answers
spool           the file of what is not on record yet, written by a thread
message_repair  makes every message with a role and a text acceptable
replay          sends what a spool still holds
stats, metrics  counts for the program, and for Prometheus
signals         saves on SIGTERM
"""
