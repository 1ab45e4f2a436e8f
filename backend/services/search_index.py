"""Use cases of operators on the words that the search worker stores (`backend/search/indexer.py`)."""

from backend.dao_service import search_index_dao
from backend.dao_service.connection.database import Database


async def rebuild(database: Database) -> None:
    """Have the words of all messages stored anew; searches go on in those that are there."""
    async with database.writing() as session:
        await search_index_dao.request_rebuild(session)
