"""The relationship between a conversation and its messages, as SQLAlchemy's users read it."""

from uuid import UUID

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import selectinload

from backend.dao_service.connection.database import Database
from backend.dao_service.models import Conversation, Message
from tests.conftest import utterance

MESSAGES = "/api/v1/voice/messages"


async def test_a_conversation_lists_its_messages_in_order_and_each_message_knows_its_conversation(
    service: httpx.AsyncClient, database: Database, conversation: UUID
) -> None:
    for content in ("One.", "Two.", "Three."):
        (await service.post(MESSAGES, json=utterance(conversation, content))).raise_for_status()
    async with database.reading() as session:
        both = selectinload(Conversation.message_list).joinedload(Message.conversation)
        found = await session.scalar(select(Conversation).options(both))
        assert found is not None
        assert [message.content for message in found.message_list] == ["One.", "Two.", "Three."]
        assert {message.conversation for message in found.message_list} == {found}


def test_a_message_that_is_given_a_conversation_stands_in_its_list() -> None:
    conversation, message = Conversation(), Message()
    message.conversation = conversation
    assert conversation.message_list == [message]


async def test_a_relationship_that_was_not_loaded_is_an_error_and_no_query(
    service: httpx.AsyncClient, database: Database, conversation: UUID
) -> None:
    (await service.post(MESSAGES, json=utterance(conversation))).raise_for_status()
    async with database.reading() as session:
        message = await session.scalar(select(Message))
        assert message is not None
        with pytest.raises(InvalidRequestError, match="lazy='raise'"):
            _ = message.conversation
