"""${message}.

On a live table: short locks, `NOT VALID` then `VALIDATE`, indexes CONCURRENTLY, each step of an autocommit block fit to
be done twice. All of it in SQL, so that `--sql` prints the same. Frozen words: nothing is imported from `backend`.
"""

from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
