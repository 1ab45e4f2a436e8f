"""Delivery: the dispatcher sends the deliveries of the outbox to the orchestrator, at least once each."""

from backend.delivery.dispatcher import Dispatcher
from backend.delivery.endpoint import OrchestratorEndpoint
from backend.delivery.orchestrator import Orchestrator

__all__ = ["Dispatcher", "Orchestrator", "OrchestratorEndpoint"]
