"""The response model of the retention."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class RetentionPlan(BaseModel):
    """What the retention erases next."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "periods": {"voice": 365},
                    "begins_at": "2026-02-01T09:31:00.120355Z",
                    "due": {"voice": 1200},
                    "held": 3,
                    "complete": True,
                }
            ]
        }
    )

    periods: dict[str, int] = Field(description="Days after which conversations are erased, by context type.")
    begins_at: datetime | None = Field(
        description="When these periods take effect, a day after they were announced; null before that."
    )
    due: dict[str, int] = Field(description="How many conversations are older, by context type.")
    held: int = Field(description="How many more would be erased, but are on hold.")
    complete: bool = Field(description="Whether all were counted: a request counts for ten seconds.")
