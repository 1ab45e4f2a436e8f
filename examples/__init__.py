"""Programs that use the service: an orchestrator, a phone, and `make demo`, which runs both with the service."""
