"""SQL on the tokens of services, which are stored and found by their SHA-256."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.models import ServiceToken


class ServiceTokenDAO:
    """The statements on service tokens, in the transaction of ``session``. All times are PostgreSQL's."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find(self, digest: bytes) -> tuple[ServiceToken, bool] | None:
        """Return the token whose SHA-256 is ``digest``, and whether it has expired; None if there is none."""
        row = (
            await self._session.execute(
                select(ServiceToken, ServiceToken.expires_at <= func.now()).where(ServiceToken.digest == digest)
            )
        ).one_or_none()
        return None if row is None else (row[0], row[1])

    async def touch(self, token_id: int) -> None:
        """Set the token's time of last use to now."""
        await self._session.execute(
            update(ServiceToken).where(ServiceToken.id == token_id).values(last_used_at=func.now())
        )

    async def count_valid(self, service: str) -> int:
        """Return how many tokens of the service are neither expired nor revoked.

        Lock the table until the transaction ends, so that no other transaction adds or revokes a token.
        """
        await self._session.execute(text("LOCK TABLE service_tokens IN SHARE ROW EXCLUSIVE MODE"))
        counted = await self._session.scalar(
            select(func.count()).where(
                ServiceToken.service == service,
                ServiceToken.revoked_at.is_(None),
                ServiceToken.expires_at > func.now(),
            )
        )
        return counted or 0

    async def add(self, service: str, scopes: Sequence[str], digest: bytes, lifetime: timedelta) -> ServiceToken:
        """Store the hash of a token that expires ``lifetime`` from now, and return the row."""
        token = ServiceToken(service=service, scopes=[*scopes], digest=digest, expires_at=func.now() + lifetime)
        self._session.add(token)
        await self._session.flush()
        await self._session.refresh(token)
        return token

    async def all(self) -> Sequence[ServiceToken]:
        """Return all tokens, with the expired and revoked ones, ordered by service and id."""
        return (await self._session.scalars(select(ServiceToken).order_by(ServiceToken.service, ServiceToken.id))).all()

    async def revoke(self, token_id: int) -> ServiceToken | None:
        """Revoke the token and return it, or None if there is none; a repetition changes nothing."""
        return await self._session.scalar(
            update(ServiceToken)
            .where(ServiceToken.id == token_id)
            .values(revoked_at=func.coalesce(ServiceToken.revoked_at, func.now()))
            .returning(ServiceToken)
        )
