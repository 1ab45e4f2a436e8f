"""Programs that use the service, to read and to start: an orchestrator, a phone, and both together (`make demo`)."""
