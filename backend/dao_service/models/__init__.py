"""One file, one table."""

from backend.dao_service.models.audit import AuditEntry
from backend.dao_service.models.base import Base
from backend.dao_service.models.conversation import Conversation
from backend.dao_service.models.delivery import Delivery, StoppedOrchestrator
from backend.dao_service.models.erasure import Erasure
from backend.dao_service.models.goal import Goal
from backend.dao_service.models.hold import Hold
from backend.dao_service.models.message import Message
from backend.dao_service.models.message_words import MessageWords, MessageWordsB, SearchProgress
from backend.dao_service.models.service_token import ServiceToken
from backend.dao_service.models.task import Task
from backend.dao_service.models.voice_session import VoiceEvent, VoiceSession, VoiceSessionId

__all__ = [
    "AuditEntry",
    "Base",
    "Conversation",
    "Delivery",
    "Erasure",
    "Goal",
    "Hold",
    "Message",
    "MessageWords",
    "MessageWordsB",
    "SearchProgress",
    "ServiceToken",
    "StoppedOrchestrator",
    "Task",
    "VoiceEvent",
    "VoiceSession",
    "VoiceSessionId",
]
