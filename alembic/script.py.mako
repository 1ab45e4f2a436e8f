"""${message}.

On a live table: short locks, `NOT VALID` then `VALIDATE`, indexes CONCURRENTLY, each step fit to be done twice;
`verbatim_steps` has the usual ones. All of it in SQL, so that `--sql` prints the same. Frozen words: import nothing
from `backend`.

Expand or contract? A revision that only adds is expand: the release before runs on the new schema, and nothing
more is to be said. A revision that takes away what an older release uses is contract, and comes a release after the
code that no longer uses it: it names the lowest revision whose code still runs, as `compatible_from = "0109"`.
"""

import verbatim_steps as steps
from alembic import op
${imports if imports else ""}
revision = "${up_revision}"
down_revision = "${down_revision}"
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
