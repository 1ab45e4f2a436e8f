"""The way out: what waits in the outbox is carried to the orchestrator, at least once."""

from backend.delivery.dispatcher import Dispatcher
from backend.delivery.endpoint import OrchestratorEndpoint
from backend.delivery.orchestrator import Orchestrator

__all__ = ["Dispatcher", "Orchestrator", "OrchestratorEndpoint"]
